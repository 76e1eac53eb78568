"""PostgreSQL 15 as Debian has it, in place of what CloudNativePG makes of a Cluster: a primary, and a standby that has each commit
before it is acknowledged. Roles, Secrets, Services and labels have the names that the operator would give them."""

import secrets

from cluster import run, wait_for
from release import config_map, pod, secret

IMAGE = "localhost/virp-peers:1"
BINARIES = "/usr/lib/postgresql/15/bin"
# In both: certificates for postgres alone, then the server; the standby takes the primary's copy first.
PREPARE = """\
set -eu
D=/var/lib/virp-pg/data
export HOME=/var/lib/virp-pg  # where libpq looks for certificates
install -d -o postgres -g postgres -m 700 /var/lib/virp-pg /var/lib/virp-pg/tls
install -o postgres -g postgres -m 600 /etc/virp-pg/tls.crt /etc/virp-pg/tls.key /etc/virp-pg/ca.crt /var/lib/virp-pg/tls
run() { setpriv --reuid postgres --regid postgres --init-groups "$@"; }
serve() { exec setpriv --reuid postgres --regid postgres --init-groups %(bin)s/postgres -D $D -c listen_addresses='*' -c unix_socket_directories=/tmp \
  -c ssl=on -c ssl_cert_file=/var/lib/virp-pg/tls/tls.crt -c ssl_key_file=/var/lib/virp-pg/tls/tls.key -c ssl_min_protocol_version=TLSv1.3 \
  -c password_encryption=scram-sha-256 -c max_wal_senders=5 -c hot_standby=on; }
""" % {"bin": BINARIES}
PRIMARY = PREPARE + """\
if [ ! -e $D/PG_VERSION ]; then
  run %(bin)s/initdb -D $D -E UTF8 -k --locale=C.UTF-8 -A peer > /dev/null
  printf 'local all all peer\\nhostssl all all all scram-sha-256\\nhostssl replication replica all scram-sha-256\\n' > $D/pg_hba.conf
fi
serve
""" % {"bin": BINARIES}
STANDBY = PREPARE + """\
if [ ! -e $D/PG_VERSION ]; then
  run env PGSSLMODE=verify-full PGSSLROOTCERT=/var/lib/virp-pg/tls/ca.crt %(bin)s/pg_basebackup -R -X stream -c fast \\
    -d "host=virp-db-rw port=5432 user=replica application_name=standby password=$(cat /etc/virp-pg/password)" -D $D
fi
serve
""" % {"bin": BINARIES}


class Database:
    def __init__(self, release, name="virp-db"):
        self.release, self.name = release, name
        self.passwords = {role: secrets.token_hex(16) for role in ("virp", "virp_onode", "virp_keymgr", "replica")}
        self.services = [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"{name}-{end}"},
                          "spec": {"selector": {"cnpg.io/cluster": name, "cnpg.io/instanceRole": role}}} for end, role in (("rw", "primary"), ("ro", "replica"))]

    def make(self):
        self._certificates()
        uri = f"postgresql://%s:%s@{self.name}-rw.virp.svc:5432/virp"
        for name, role in ((f"{self.name}-app", "virp"), ("virp-onode-database", "virp_onode"), ("virp-keymgr-database", "virp_keymgr")):
            self.release.beside.append(secret(name, {"uri": (uri % (role, self.passwords[role])).encode()}))
        self._start("virp-db-1", "primary", PRIMARY)
        wait_for("PostgreSQL", lambda: run("podman", "exec", "virp-db-1-main", f"{BINARIES}/pg_isready", "-h", "/tmp", check=False)[0] == 0, 120)
        for role, password in self.passwords.items():
            self.sql("postgres", f"CREATE ROLE {role} LOGIN {'REPLICATION ' if role == 'replica' else ''}PASSWORD '{password}'")
        self.sql("postgres", "CREATE DATABASE virp OWNER virp ENCODING 'UTF8' TEMPLATE template0")
        self._start("virp-db-2", "replica", STANDBY)
        wait_for("the standby", lambda: "streaming" in self.sql("postgres", "SELECT state FROM pg_stat_replication"), 120)
        self.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")
        self.sql("postgres", "SELECT pg_reload_conf()")
        wait_for("synchronous replication", lambda: "quorum" in self.sql("postgres", "SELECT sync_state FROM pg_stat_replication"), 30)

    def sql(self, database, statement):
        return run("podman", "exec", "--user", "postgres", "virp-db-1-main", "psql", "-h", "/tmp", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement)[1]

    def _start(self, name, role, script):
        self.release.beside.append(config_map(f"{name}-run", {"run.sh": script}))
        manifest = pod(name, "virp", IMAGE, ["bash", "/etc/virp-run/run.sh"],
                       labels={"app": "database", "cnpg.io/cluster": self.name, "cnpg.io/instanceRole": role},
                       volumes=[{"name": "run", "configMap": {"name": f"{name}-run"}}, {"name": "tls", "secret": {"secretName": "virp-db-server"}}],
                       mounts=[{"name": "run", "mountPath": "/etc/virp-run"}, {"name": "tls", "mountPath": "/etc/virp-pg"}])
        manifest["spec"]["containers"][0]["ports"] = [{"name": "postgresql", "containerPort": 5432}]
        return self.release.cluster.play(manifest, self.services, self.release.beside)

    def _certificates(self):
        """An authority of the database's own and a certificate with its Services' names, as the operator makes them."""
        folder = self.release.folder / "database"
        folder.mkdir()
        names = ",".join(f"DNS:{self.name}-{end}{suffix}" for end in ("rw", "ro", "r") for suffix in ("", ".virp", ".virp.svc"))
        (folder / "san").write_text(f"subjectAltName={names}\n", encoding="utf-8")
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
        run("openssl", "req", "-x509", *key, "-keyout", folder / "ca.key", "-out", folder / "ca.crt", "-days", "2", "-subj", "/CN=virp-db")
        run("openssl", "req", "-new", *key, "-keyout", folder / "tls.key", "-out", folder / "tls.csr", "-subj", f"/CN={self.name}-rw")
        run("openssl", "x509", "-req", "-in", folder / "tls.csr", "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial",
            "-out", folder / "tls.crt", "-days", "2", "-extfile", folder / "san")
        files = {name: (folder / name).read_bytes() for name in ("tls.crt", "tls.key", "ca.crt")}
        self.release.beside += [secret("virp-db-ca", {"ca.crt": files["ca.crt"]}),
                                secret("virp-db-server", {**files, "password": self.passwords["replica"].encode()})]
