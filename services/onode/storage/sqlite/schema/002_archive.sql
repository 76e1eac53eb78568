-- Retention: which parts of a chain have their entries' bytes in an archive. Written by `virp-onode archive`, in the
-- transaction that takes the bytes out.

CREATE TABLE archived (
  chain_id        INTEGER NOT NULL REFERENCES chain,
  first_seq       INTEGER NOT NULL CHECK (first_seq >= 0 AND first_seq % 256 = 0),
  next_seq        INTEGER NOT NULL CHECK (next_seq > first_seq AND next_seq % 256 = 0),
  checkpoint_size INTEGER NOT NULL CHECK (checkpoint_size >= next_seq),  -- the signed one that the part was held against
  PRIMARY KEY (chain_id, first_seq),
  UNIQUE (chain_id, next_seq)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER archived_no_update BEFORE UPDATE ON archived BEGIN SELECT RAISE(ABORT, 'archived is append only'); END;
CREATE TRIGGER archived_no_delete BEFORE DELETE ON archived BEGIN SELECT RAISE(ABORT, 'archived is append only'); END;

-- Bytes may go, and nothing else may change, below what is recorded as archived.
DROP TRIGGER entry_no_update;
CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry
WHEN (NEW.bytes = x'' AND NEW.chain_id = OLD.chain_id AND NEW.seq = OLD.seq AND NEW.source = OLD.source
          AND NEW.source_epoch = OLD.source_epoch AND NEW.source_seq = OLD.source_seq AND NEW.subject = OLD.subject
          AND NEW.received_us = OLD.received_us AND NEW.kind = OLD.kind AND NEW.result = OLD.result
          AND NEW.leaf_hash = OLD.leaf_hash
          AND OLD.seq < (SELECT max(next_seq) FROM archived WHERE chain_id = OLD.chain_id)) IS NOT TRUE
BEGIN SELECT RAISE(ABORT, 'entry is append only'); END;
