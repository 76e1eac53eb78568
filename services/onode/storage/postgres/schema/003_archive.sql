-- Retention: which parts of a chain have their entries' bytes in an archive. Written by the owner only (the command
-- `virp-onode archive`), in the transaction that puts a partition without bytes in the place of one with them.

CREATE TABLE onode.archived (
  chain_id        int NOT NULL REFERENCES onode.chain,
  first_seq       bigint NOT NULL CHECK (first_seq >= 0 AND first_seq % 256 = 0),
  next_seq        bigint NOT NULL CHECK (next_seq > first_seq AND next_seq % 256 = 0),
  checkpoint_size bigint NOT NULL CHECK (checkpoint_size >= next_seq),  -- the signed one that the part was held against
  archived        timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (chain_id, first_seq),
  UNIQUE (chain_id, next_seq)
);
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON onode.archived
  FOR EACH STATEMENT EXECUTE FUNCTION onode.no_change();
