-- The key manager's state and history. Times are nanoseconds since 1970 (UTC); names of kinds, algorithms, policies and
-- states are those of services/keymgr/domain/key.h.

-- Who leads, and where the history ends. One row.
CREATE TABLE ledger_head (
  one            INTEGER PRIMARY KEY CHECK (one = 1),
  term           INTEGER NOT NULL,
  holder         TEXT NOT NULL,
  holder_address TEXT NOT NULL,
  lease_until_ns INTEGER NOT NULL,
  record         INTEGER NOT NULL,
  epoch          INTEGER NOT NULL,
  sequence       INTEGER NOT NULL,
  frame_sha256   BLOB NOT NULL CHECK (length(frame_sha256) = 32),
  delivered      INTEGER NOT NULL
) STRICT;
INSERT INTO ledger_head VALUES (1, 0, '', '', 0, 0, 0, 0, zeroblob(32), 0);

CREATE TRIGGER ledger_head_forward BEFORE UPDATE ON ledger_head
WHEN NEW.term < OLD.term OR NEW.record < OLD.record OR NEW.delivered < OLD.delivered
BEGIN SELECT RAISE(ABORT, 'the ledger goes forward only'); END;

-- What the parts of the manager keep: one row for each thing.
CREATE TABLE record (
  kind       TEXT NOT NULL,
  id         TEXT NOT NULL,
  parent     TEXT NOT NULL,
  state      TEXT NOT NULL,
  due_ns     INTEGER,  -- when it needs attention next
  body       TEXT NOT NULL CHECK (body GLOB '{*}'),  -- JSON, checked by the ledger: json_valid() is barred from schemas here
  created_ns INTEGER NOT NULL,
  changed_ns INTEGER NOT NULL,
  revision   INTEGER NOT NULL CHECK (revision > 0),
  PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX record_due ON record (due_ns) WHERE due_ns IS NOT NULL;
CREATE INDEX record_parent ON record (kind, parent) WHERE parent <> '';

-- Private halves, sealed: an envelope, or what a token's object is found by.
CREATE TABLE sealed_key (
  kind        TEXT NOT NULL,
  id          TEXT NOT NULL,
  version     INTEGER NOT NULL CHECK (version > 0),
  algorithm   TEXT NOT NULL,
  policy      TEXT NOT NULL,
  custody     TEXT NOT NULL,
  kek_version INTEGER NOT NULL,
  public_half BLOB NOT NULL,
  sealed      BLOB NOT NULL,
  locked      INTEGER NOT NULL CHECK (locked IN (0, 1)),
  created_ns  INTEGER NOT NULL,
  PRIMARY KEY (kind, id, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX sealed_key_kek ON sealed_key (kek_version);

CREATE TRIGGER sealed_key_locked BEFORE UPDATE ON sealed_key
WHEN NEW.locked < OLD.locked OR NEW.policy <> OLD.policy OR NEW.algorithm <> OLD.algorithm
BEGIN SELECT RAISE(ABORT, 'a key stays locked, and keeps its policy and algorithm'); END;

-- The history: what was done, by whom and why, and the signed frame that the chain gets. Never changed.
CREATE TABLE audit (
  record         INTEGER PRIMARY KEY CHECK (record > 0),
  epoch          INTEGER NOT NULL,
  sequence       INTEGER NOT NULL,
  time_ns        INTEGER NOT NULL,
  event          TEXT NOT NULL,
  source         TEXT NOT NULL,
  actor          TEXT NOT NULL,
  method         TEXT NOT NULL,
  reason         TEXT NOT NULL,
  request_id     TEXT NOT NULL,
  request_sha256 BLOB NOT NULL CHECK (length(request_sha256) = 32),
  answer         BLOB NOT NULL,
  frame          BLOB NOT NULL,
  UNIQUE (epoch, sequence)
) STRICT;
CREATE INDEX audit_time ON audit (time_ns);
CREATE INDEX audit_event ON audit (event, record);
CREATE INDEX audit_actor ON audit (actor, record);
CREATE INDEX audit_request ON audit (request_id, record) WHERE request_id <> '';

-- Which keys a record is about.
CREATE TABLE audit_key (
  record    INTEGER NOT NULL REFERENCES audit (record),
  place     INTEGER NOT NULL,
  kind      TEXT NOT NULL,
  id        TEXT NOT NULL,
  version   INTEGER NOT NULL,
  algorithm TEXT NOT NULL,
  PRIMARY KEY (record, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_key_of ON audit_key (kind, id, record);

CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'history is not changed'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'history is not changed'); END;
CREATE TRIGGER audit_key_no_update BEFORE UPDATE ON audit_key BEGIN SELECT RAISE(ABORT, 'history is not changed'); END;
CREATE TRIGGER audit_key_no_delete BEFORE DELETE ON audit_key BEGIN SELECT RAISE(ABORT, 'history is not changed'); END;
