-- O-Node store, SQLite. Unsigned 64-bit values are kept as the signed integer with the same bits; only chain sequences,
-- sizes and terms are ever compared by order, and those stay below 2^63.

CREATE TABLE chain (
  chain_id    INTEGER PRIMARY KEY,
  origin      TEXT NOT NULL UNIQUE CHECK (origin <> ''),
  predecessor TEXT NOT NULL                       -- checkpoint note of the chain that this one succeeds, or ''
) STRICT;

-- The one row that every append compares and swaps: fencing token, size, chain head, Merkle frontier.
CREATE TABLE chain_head (
  chain_id       INTEGER PRIMARY KEY REFERENCES chain,
  term           INTEGER NOT NULL CHECK (term >= 0),
  holder         TEXT NOT NULL,                   -- '' when nobody leads
  holder_address TEXT NOT NULL,
  lease_until_ns INTEGER NOT NULL,
  size           INTEGER NOT NULL CHECK (size >= 0),
  head           BLOB NOT NULL CHECK (length(head) = 32),
  frontier       BLOB NOT NULL CHECK (length(frontier) % 32 = 0)
) STRICT;

-- leaf_hash stands before bytes so that reading hashes does not touch the overflow pages of long entries.
CREATE TABLE entry (
  chain_id     INTEGER NOT NULL,
  seq          INTEGER NOT NULL CHECK (seq >= 0),
  source       INTEGER NOT NULL,
  source_epoch INTEGER NOT NULL,
  source_seq   INTEGER NOT NULL,
  subject      INTEGER NOT NULL,
  received_us  INTEGER NOT NULL,
  kind         INTEGER NOT NULL,
  result       INTEGER NOT NULL,
  leaf_hash    BLOB NOT NULL CHECK (length(leaf_hash) = 32),
  bytes        BLOB NOT NULL,
  PRIMARY KEY (chain_id, seq)
) STRICT, WITHOUT ROWID;
-- By frame, source and subject entries are found in the file beside this one (SqliteEntryIndex), which also refuses a
-- frame that the chain has.
CREATE INDEX entry_kind ON entry (chain_id, kind, seq) WHERE kind <> 0;     -- all but observations, which are the bulk

CREATE TABLE tile (                               -- full tiles only
  chain_id INTEGER NOT NULL,
  level    INTEGER NOT NULL CHECK (level BETWEEN 0 AND 7),
  idx      INTEGER NOT NULL CHECK (idx >= 0),
  hashes   BLOB NOT NULL CHECK (length(hashes) = 8192),
  UNIQUE (chain_id, level, idx)
) STRICT;

-- The row is committed before anything is signed, so no two roots of one size are ever signed.
CREATE TABLE checkpoint (
  chain_id INTEGER NOT NULL REFERENCES chain,
  size     INTEGER NOT NULL CHECK (size >= 0),
  root     BLOB NOT NULL CHECK (length(root) = 32),
  note     TEXT,                                  -- NULL until signed
  PRIMARY KEY (chain_id, size)
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,  -- ids are never used twice
  chain_id    INTEGER NOT NULL REFERENCES chain,
  received_ns INTEGER NOT NULL,
  path        BLOB NOT NULL,                      -- path and source are what the other side said: not always text
  source      BLOB NOT NULL,
  reason      TEXT NOT NULL,
  frame       BLOB NOT NULL
) STRICT;
CREATE INDEX quarantine_path ON quarantine (chain_id, path, id);
CREATE INDEX quarantine_chain ON quarantine (chain_id, id);

CREATE TABLE quarantine_use (                     -- what each path holds, so that the bound costs one look-up
  chain_id INTEGER NOT NULL,
  path     BLOB NOT NULL,
  frames   INTEGER NOT NULL,
  bytes    INTEGER NOT NULL,
  PRIMARY KEY (chain_id, path)
) STRICT, WITHOUT ROWID;

-- History is append-only for whoever does not drop these triggers first. Whoever does is found by the hashes.
CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'entry is append only'); END;
CREATE TRIGGER entry_no_delete BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'entry is append only'); END;
CREATE TRIGGER tile_no_update BEFORE UPDATE ON tile BEGIN SELECT RAISE(ABORT, 'tile is append only'); END;
CREATE TRIGGER tile_no_delete BEFORE DELETE ON tile BEGIN SELECT RAISE(ABORT, 'tile is append only'); END;
CREATE TRIGGER chain_no_update BEFORE UPDATE ON chain BEGIN SELECT RAISE(ABORT, 'chain is append only'); END;
CREATE TRIGGER chain_no_delete BEFORE DELETE ON chain BEGIN SELECT RAISE(ABORT, 'chain is append only'); END;
CREATE TRIGGER checkpoint_note_once BEFORE UPDATE ON checkpoint
WHEN OLD.note IS NOT NULL OR NEW.chain_id <> OLD.chain_id OR NEW.size <> OLD.size OR NEW.root <> OLD.root
BEGIN SELECT RAISE(ABORT, 'checkpoint is append only'); END;
CREATE TRIGGER checkpoint_no_delete BEFORE DELETE ON checkpoint BEGIN SELECT RAISE(ABORT, 'checkpoint is append only'); END;
-- The head never goes back and always names the leaf hash of its last entry, whatever the program does.
CREATE TRIGGER chain_head_forward BEFORE UPDATE ON chain_head
WHEN NEW.size < OLD.size OR NEW.term < OLD.term OR (NEW.size = OLD.size AND NEW.head <> OLD.head)
BEGIN SELECT RAISE(ABORT, 'chain_head only moves forward'); END;
CREATE TRIGGER chain_head_links AFTER UPDATE OF size ON chain_head
WHEN NOT EXISTS (SELECT 1 FROM entry WHERE chain_id = NEW.chain_id AND seq = NEW.size - 1 AND leaf_hash = NEW.head)
BEGIN SELECT RAISE(ABORT, 'chain_head does not match the last entry'); END;
