-- What the serving role may change, and how. Every function runs with its owner's rights and names every object in full.
-- What is to be expected is returned, not raised: 'ok' or why not, or NULL when there is no such chain.

-- Makes the partitions that a chain needs for entries below p_reach, and a quarter of a partition ahead of its head.
-- Returns the first sequence that has none. Each is built beside the table and attached to it, because CREATE TABLE ...
-- PARTITION OF would stop every reader.
CREATE FUNCTION onode.make_partitions(p_chain int, p_reach bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  width bigint;
  size  bigint;
  reach bigint;
  part  text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('onode.make_partitions', p_chain));
  SELECT c.partition_width, h.size INTO width, size
    FROM onode.chain c JOIN onode.chain_head h USING (chain_id) WHERE c.chain_id = p_chain;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  reach := greatest(size + width / 4, least(p_reach, size + 65536));
  FOR n IN size / width .. reach / width LOOP
    part := format('entry_%s_%s', p_chain, n);
    IF to_regclass('onode.' || part) IS NULL THEN
      EXECUTE format('CREATE TABLE onode.%I (LIKE onode.entry INCLUDING ALL)', part);
      -- Exactly once per (source, epoch, number) follows from the leader's state; this makes its mistakes errors.
      EXECUTE format('CREATE UNIQUE INDEX %I ON onode.%I (chain_id, source, source_epoch, source_seq)', part || '_number', part);
      EXECUTE format('CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON onode.%I'
                     ' FOR EACH STATEMENT EXECUTE FUNCTION onode.no_change()', part);
      EXECUTE format('ALTER TABLE onode.entry ATTACH PARTITION onode.%I FOR VALUES FROM (%s, %s) TO (%s, %s)',
                     part, p_chain, n * width, p_chain, (n + 1) * width);
    END IF;
  END LOOP;
  RETURN (reach / width + 1) * width;
END $$;

-- The genesis row of a chain's batches is what its first batch refers to. NULL when there is a chain of that origin.
CREATE FUNCTION onode.create_chain(p_origin text, p_predecessor text, p_genesis bytea) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  id int;
BEGIN
  LOCK TABLE onode.chain IN SHARE ROW EXCLUSIVE MODE;  -- ids without holes or races; chains are made by hand, seldom
  SELECT coalesce(max(c.chain_id), 0) + 1 INTO id FROM onode.chain c;
  INSERT INTO onode.chain (chain_id, origin, predecessor) VALUES (id, p_origin, p_predecessor) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  INSERT INTO onode.batch (chain_id, first_seq, next_seq, term, prev_head, last_head) VALUES (id, -1, 0, 0, NULL, p_genesis);
  INSERT INTO onode.chain_head (chain_id, term, holder, holder_address, lease_until, size, head, frontier)
    VALUES (id, 0, '', '', '-infinity', 0, p_genesis, '');
  PERFORM onode.make_partitions(id, 0);
  RETURN id;
END $$;

-- Leases run by this database's clock. No row: somebody else holds it, or there is no such chain.
CREATE FUNCTION onode.take_lease(p_chain int, p_instance text, p_address text, p_ms bigint)
RETURNS TABLE (term bigint, size bigint, head bytea, frontier bytea)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE onode.chain_head h
     SET term = h.term + 1, holder = p_instance, holder_address = p_address,
         lease_until = clock_timestamp() + p_ms * interval '1 millisecond'
   WHERE h.chain_id = p_chain AND (h.holder IN ('', p_instance) OR h.lease_until <= clock_timestamp())
  RETURNING h.term, h.size, h.head, h.frontier
$$;

-- False: the term is no longer the caller's, or there is no such chain.
CREATE FUNCTION onode.renew_lease(p_chain int, p_term bigint, p_ms bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE onode.chain_head h SET lease_until = clock_timestamp() + p_ms * interval '1 millisecond'
   WHERE h.chain_id = p_chain AND h.term = p_term AND h.holder <> '';
  RETURN FOUND;
END $$;

CREATE FUNCTION onode.release_lease(p_chain int, p_term bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE onode.chain_head h SET holder = '', holder_address = '', lease_until = '-infinity'
   WHERE h.chain_id = p_chain AND h.term = p_term AND h.holder <> '';
  RETURN FOUND;
END $$;

-- The compare-and-swap with which every append begins. The row's lock orders leaders that race; false: fenced.
CREATE FUNCTION onode.advance(p_chain int, p_term bigint, p_old_size bigint, p_old_head bytea,
                              p_new_size bigint, p_new_head bytea, p_frontier bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE onode.chain_head h SET size = p_new_size, head = p_new_head, frontier = p_frontier
   WHERE h.chain_id = p_chain AND h.term = p_term AND h.size = p_old_size AND h.head = p_old_head;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO onode.batch (chain_id, first_seq, next_seq, term, prev_head, last_head)
    VALUES (p_chain, p_old_size, p_new_size, p_term, p_old_head, p_new_head);
  RETURN true;
END $$;

-- 'fenced', 'beyond' the head, or 'another' root stands there. The primary key decides races; no lock is needed, since a
-- root at a size below the head is the same for every leader.
CREATE FUNCTION onode.put_checkpoint_intent(p_chain int, p_term bigint, p_size bigint, p_root bytea) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  head onode.chain_head%ROWTYPE;
BEGIN
  SELECT * INTO head FROM onode.chain_head h WHERE h.chain_id = p_chain;
  IF NOT FOUND THEN
    RETURN NULL;
  ELSIF head.term <> p_term THEN
    RETURN 'fenced';
  ELSIF p_size > head.size THEN
    RETURN 'beyond';
  END IF;
  INSERT INTO onode.checkpoint (chain_id, size, root) VALUES (p_chain, p_size, p_root) ON CONFLICT DO NOTHING;
  IF EXISTS (SELECT FROM onode.checkpoint c WHERE c.chain_id = p_chain AND c.size = p_size AND c.root = p_root) THEN
    RETURN 'ok';
  END IF;
  RETURN 'another';
END $$;

-- False: no intent, or another note, stands there.
CREATE FUNCTION onode.put_checkpoint_note(p_chain int, p_size bigint, p_note text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE onode.checkpoint c SET note = p_note WHERE c.chain_id = p_chain AND c.size = p_size AND c.note IS NULL;
  RETURN EXISTS (SELECT FROM onode.checkpoint c WHERE c.chain_id = p_chain AND c.size = p_size AND c.note = p_note);
END $$;

-- Keeps a path's newest frames within both bounds and returns how many went out. The row of quarantine_use is the lock.
CREATE FUNCTION onode.put_quarantine(p_chain int, p_received_ns bigint, p_path bytea, p_source bytea, p_reason text,
                                     p_frame bytea, p_max_frames bigint, p_max_bytes bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  held   record;
  oldest record;
  gone   bigint := 0;
BEGIN
  IF NOT EXISTS (SELECT FROM onode.chain c WHERE c.chain_id = p_chain) THEN
    RETURN NULL;
  END IF;
  INSERT INTO onode.quarantine_use AS u VALUES (p_chain, p_path, 1, octet_length(p_frame))
    ON CONFLICT (chain_id, path) DO UPDATE SET frames = u.frames + 1, bytes = u.bytes + octet_length(p_frame)
    RETURNING u.frames, u.bytes INTO held;
  INSERT INTO onode.quarantine (chain_id, received_ns, path, source, reason, frame)
    VALUES (p_chain, p_received_ns, p_path, p_source, p_reason, p_frame);
  IF held.frames <= p_max_frames AND held.bytes <= p_max_bytes THEN
    RETURN 0;
  END IF;
  FOR oldest IN SELECT q.id, octet_length(q.frame) AS bytes FROM onode.quarantine q
                 WHERE q.chain_id = p_chain AND q.path = p_path ORDER BY q.id LOOP
    EXIT WHEN held.frames <= p_max_frames AND held.bytes <= p_max_bytes;
    DELETE FROM onode.quarantine q WHERE q.id = oldest.id;
    held.frames := held.frames - 1;
    held.bytes := held.bytes - oldest.bytes;
    gone := gone + 1;
  END LOOP;
  UPDATE onode.quarantine_use u SET frames = held.frames, bytes = held.bytes
   WHERE u.chain_id = p_chain AND u.path = p_path;
  RETURN gone;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA onode FROM PUBLIC;
