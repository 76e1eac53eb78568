-- O-Node store, PostgreSQL 15 or later. Unsigned 64-bit values are kept as the bigint with the same bits; only chain
-- sequences, sizes and terms are ever compared by order, and those stay below 2^63.
-- The role that runs this owns everything; it has made the schema onode. The serving role may read, add entries and tiles,
-- and call the functions of 002_functions.sql: postgres_migrate.cc grants that each time it has applied the files.

CREATE DOMAIN onode.h256 AS bytea CHECK (octet_length(VALUE) = 32);

CREATE TABLE onode.chain (
  chain_id        int PRIMARY KEY,
  origin          text NOT NULL UNIQUE CHECK (origin <> '' AND origin !~ '[[:space:]+]'),
  predecessor     text NOT NULL,                  -- checkpoint note of the chain that this one succeeds, or ''
  partition_width bigint NOT NULL DEFAULT 67108864 CHECK (partition_width >= 1024)  -- entries per partition
);

-- The one row that every append compares and swaps: fencing token, size, chain head, Merkle frontier.
CREATE TABLE onode.chain_head (
  chain_id       int PRIMARY KEY REFERENCES onode.chain,
  term           bigint NOT NULL CHECK (term >= 0),
  holder         text NOT NULL,                   -- '' when nobody leads
  holder_address text NOT NULL,
  lease_until    timestamptz NOT NULL,
  size           bigint NOT NULL CHECK (size >= 0),
  head           onode.h256 NOT NULL,             -- leaf hash of entry size-1, or the genesis value
  frontier       bytea NOT NULL CHECK (octet_length(frontier) % 32 = 0)
) WITH (fillfactor = 50);

-- One row per commit. The chained foreign key makes a fork or a skip impossible even for a leader that is wrong:
-- a batch begins where another ended, with the head that it ended on, and no two begin at one place.
CREATE TABLE onode.batch (
  chain_id  int NOT NULL REFERENCES onode.chain,
  first_seq bigint NOT NULL,
  next_seq  bigint NOT NULL,
  term      bigint NOT NULL,
  prev_head onode.h256,                           -- NULL only in the genesis row
  last_head onode.h256 NOT NULL,
  committed timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (chain_id, first_seq),
  UNIQUE (chain_id, next_seq, last_head),
  CHECK ((first_seq >= 0 AND next_seq > first_seq AND prev_head IS NOT NULL)
         OR (first_seq = -1 AND next_seq = 0 AND prev_head IS NULL)),
  FOREIGN KEY (chain_id, first_seq, prev_head) REFERENCES onode.batch (chain_id, next_seq, last_head)
);

CREATE TABLE onode.entry (                        -- wide columns first: no padding
  seq          bigint NOT NULL CHECK (seq >= 0),
  source       bigint NOT NULL,
  source_epoch bigint NOT NULL,
  source_seq   bigint NOT NULL,
  subject      bigint NOT NULL,
  received_us  bigint NOT NULL,
  chain_id     int NOT NULL,
  kind         smallint NOT NULL,
  result       smallint NOT NULL,
  leaf_hash    onode.h256 NOT NULL,
  bytes        bytea NOT NULL,
  PRIMARY KEY (chain_id, seq)
) PARTITION BY RANGE (chain_id, seq);
-- Tags and hashes do not compress; trying costs more than it saves.
ALTER TABLE onode.entry ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE INDEX entry_source ON onode.entry (chain_id, source, seq);
CREATE INDEX entry_subject ON onode.entry (chain_id, subject, seq) WHERE subject <> 0;
CREATE INDEX entry_kind ON onode.entry (chain_id, kind, seq) WHERE kind <> 0;  -- all but observations, which are the bulk

CREATE TABLE onode.tile (                         -- full tiles only
  chain_id int NOT NULL,
  level    smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
  idx      bigint NOT NULL CHECK (idx >= 0),
  hashes   bytea NOT NULL CHECK (octet_length(hashes) = 8192),
  PRIMARY KEY (chain_id, level, idx)
);
ALTER TABLE onode.tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- The row is committed before anything is signed, so no two roots of one size are ever signed.
CREATE TABLE onode.checkpoint (
  chain_id int NOT NULL REFERENCES onode.chain,
  size     bigint NOT NULL CHECK (size >= 0),
  root     onode.h256 NOT NULL,
  note     text,                                  -- NULL until signed
  PRIMARY KEY (chain_id, size)
);

CREATE TABLE onode.quarantine (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  chain_id    int NOT NULL REFERENCES onode.chain,
  received_ns bigint NOT NULL,
  path        bytea NOT NULL,                     -- path and source are what the other side said: not always text
  source      bytea NOT NULL,
  reason      text NOT NULL,
  frame       bytea NOT NULL
);
CREATE INDEX quarantine_path ON onode.quarantine (chain_id, path, id);
CREATE INDEX quarantine_chain ON onode.quarantine (chain_id, id);

CREATE TABLE onode.quarantine_use (               -- what each path holds, so that the bound costs one look-up
  chain_id int NOT NULL,
  path     bytea NOT NULL,
  frames   bigint NOT NULL,
  bytes    bigint NOT NULL,
  PRIMARY KEY (chain_id, path)
) WITH (fillfactor = 70);

-- History is append-only for whoever does not drop these triggers first. Whoever does is found by the hashes.
CREATE FUNCTION onode.no_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON onode.chain
  FOR EACH STATEMENT EXECUTE FUNCTION onode.no_change();
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON onode.batch
  FOR EACH STATEMENT EXECUTE FUNCTION onode.no_change();
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON onode.entry
  FOR EACH STATEMENT EXECUTE FUNCTION onode.no_change();       -- each partition has its own as well
CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON onode.tile
  FOR EACH STATEMENT EXECUTE FUNCTION onode.no_change();
CREATE TRIGGER no_change BEFORE DELETE OR TRUNCATE ON onode.checkpoint
  FOR EACH STATEMENT EXECUTE FUNCTION onode.no_change();
CREATE TRIGGER note_once BEFORE UPDATE ON onode.checkpoint FOR EACH ROW
  WHEN (OLD.note IS NOT NULL OR ROW(NEW.chain_id, NEW.size, NEW.root) IS DISTINCT FROM ROW(OLD.chain_id, OLD.size, OLD.root))
  EXECUTE FUNCTION onode.no_change();
CREATE TRIGGER forward_only BEFORE UPDATE ON onode.chain_head FOR EACH ROW
  WHEN (NEW.size < OLD.size OR NEW.term < OLD.term OR (NEW.size = OLD.size AND NEW.head <> OLD.head))
  EXECUTE FUNCTION onode.no_change();
