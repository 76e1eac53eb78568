-- The key manager's state and history. Times are nanoseconds since 1970 (UTC); names of kinds, algorithms, policies and
-- states are those of services/keymgr/domain/key.h. What the serving role may change, and how, is in 002_functions.sql.

-- Who leads, and where the history ends. One row.
CREATE TABLE keymgr.ledger_head (
  one            int PRIMARY KEY CHECK (one = 1),
  term           bigint NOT NULL,
  holder         text NOT NULL,
  holder_address text NOT NULL,
  lease_until    timestamptz NOT NULL,
  record         bigint NOT NULL,
  epoch          bigint NOT NULL,
  sequence       bigint NOT NULL,
  frame_sha256   bytea NOT NULL CHECK (length(frame_sha256) = 32),
  delivered      bigint NOT NULL
);
INSERT INTO keymgr.ledger_head VALUES (1, 0, '', '', '-infinity', 0, 0, 0, decode(repeat('00', 32), 'hex'), 0);

-- What the parts of the manager keep: one row for each thing. body is JSON, as it was written.
CREATE TABLE keymgr.record (
  kind       text COLLATE "C" NOT NULL,
  id         text COLLATE "C" NOT NULL,
  parent     text COLLATE "C" NOT NULL,
  state      text NOT NULL,
  due_ns     bigint,  -- when it needs attention next
  body       text NOT NULL CHECK (jsonb_typeof(body::jsonb) = 'object'),
  created_ns bigint NOT NULL,
  changed_ns bigint NOT NULL,
  revision   bigint NOT NULL CHECK (revision > 0),
  PRIMARY KEY (kind, id)
);
CREATE INDEX record_due ON keymgr.record (due_ns) WHERE due_ns IS NOT NULL;
CREATE INDEX record_parent ON keymgr.record (kind, parent) WHERE parent <> '';

-- Private halves, sealed: an envelope, or what a token's object is found by.
CREATE TABLE keymgr.sealed_key (
  kind        text COLLATE "C" NOT NULL,
  id          text COLLATE "C" NOT NULL,
  version     bigint NOT NULL CHECK (version > 0),
  algorithm   text NOT NULL,
  policy      text NOT NULL,
  custody     text NOT NULL,
  kek_version bigint NOT NULL,
  public_half bytea NOT NULL,
  sealed      bytea NOT NULL,
  locked      boolean NOT NULL,
  created_ns  bigint NOT NULL,
  PRIMARY KEY (kind, id, version)
);
CREATE INDEX sealed_key_kek ON keymgr.sealed_key (kek_version);

-- The history: what was done, by whom and why, and the signed frame that the chain gets. Never changed.
CREATE TABLE keymgr.audit (
  record         bigint PRIMARY KEY CHECK (record > 0),
  epoch          bigint NOT NULL,
  sequence       bigint NOT NULL,
  time_ns        bigint NOT NULL,
  event          text NOT NULL,
  source         text NOT NULL,
  actor          text NOT NULL,
  method         text NOT NULL,
  reason         text NOT NULL,
  request_id     text NOT NULL,
  request_sha256 bytea NOT NULL CHECK (length(request_sha256) = 32),
  answer         bytea NOT NULL,
  frame          bytea NOT NULL,
  UNIQUE (epoch, sequence)
);
CREATE INDEX audit_time ON keymgr.audit (time_ns);
CREATE INDEX audit_event ON keymgr.audit (event, record);
CREATE INDEX audit_actor ON keymgr.audit (actor, record);
CREATE INDEX audit_request ON keymgr.audit (request_id, record) WHERE request_id <> '';

-- Which keys a record is about.
CREATE TABLE keymgr.audit_key (
  record    bigint NOT NULL REFERENCES keymgr.audit (record),
  place     int NOT NULL,
  kind      text NOT NULL,
  id        text COLLATE "C" NOT NULL,
  version   bigint NOT NULL,
  algorithm text NOT NULL,
  PRIMARY KEY (record, place)
);
CREATE INDEX audit_key_of ON keymgr.audit_key (kind, id, record);

CREATE FUNCTION keymgr.no_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'history is not changed';
END $$;
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON keymgr.audit
  FOR EACH STATEMENT EXECUTE FUNCTION keymgr.no_change();
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON keymgr.audit_key
  FOR EACH STATEMENT EXECUTE FUNCTION keymgr.no_change();

CREATE FUNCTION keymgr.forward_only() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.term < OLD.term OR NEW.record < OLD.record OR NEW.delivered < OLD.delivered THEN
    RAISE EXCEPTION 'the ledger goes forward only';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER forward_only BEFORE UPDATE ON keymgr.ledger_head
  FOR EACH ROW EXECUTE FUNCTION keymgr.forward_only();

CREATE FUNCTION keymgr.stays_locked() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (OLD.locked AND NOT NEW.locked) OR NEW.policy <> OLD.policy OR NEW.algorithm <> OLD.algorithm THEN
    RAISE EXCEPTION 'a key stays locked, and keeps its policy and algorithm';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER stays_locked BEFORE UPDATE ON keymgr.sealed_key
  FOR EACH ROW EXECUTE FUNCTION keymgr.stays_locked();
