-- What the serving role may change, and how. Every function runs with its owner's rights and names every object in full.
-- Errors that the service tells apart: VF001 fenced, VF002 another root stands there, VF004 no such chain, VF005 beyond the
-- head, VF006 no intent or another note.

-- Makes the partitions that the next entries of a chain need, a quarter of a partition ahead. Returns the first sequence
-- that has none yet. Built beside the table and attached, because CREATE TABLE ... PARTITION OF would stop every reader.
CREATE FUNCTION onode.make_partitions(p_chain int) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  width bigint;
  size  bigint;
  part  text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('onode.make_partitions', p_chain));
  SELECT c.partition_width, h.size INTO width, size
    FROM onode.chain c JOIN onode.chain_head h USING (chain_id) WHERE c.chain_id = p_chain;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no chain %', p_chain USING ERRCODE = 'VF004';
  END IF;
  FOR n IN size / width .. (size + width / 4) / width LOOP
    part := format('entry_%s_%s', p_chain, n);
    IF to_regclass('onode.' || part) IS NULL THEN
      EXECUTE format('CREATE TABLE onode.%I (LIKE onode.entry INCLUDING ALL)', part);
      EXECUTE format('CREATE UNIQUE INDEX %I ON onode.%I (chain_id, source, source_epoch, source_seq)', part || '_number', part);
      EXECUTE format('ALTER TABLE onode.entry ATTACH PARTITION onode.%I FOR VALUES FROM (%s, %s) TO (%s, %s)',
                     part, p_chain, n * width, p_chain, (n + 1) * width);
      EXECUTE format('CREATE TRIGGER no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON onode.%I'
                     ' FOR EACH STATEMENT EXECUTE FUNCTION onode.no_change()', part);
    END IF;
  END LOOP;
  RETURN ((size + width / 4) / width + 1) * width;
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
  PERFORM onode.make_partitions(id);
  RETURN id;
END $$;

-- Leases run by this database's clock. No row: somebody else holds it.
CREATE FUNCTION onode.take_lease(p_chain int, p_instance text, p_address text, p_ms bigint)
RETURNS TABLE (term bigint, size bigint, head bytea, frontier bytea)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE onode.chain_head h
     SET term = h.term + 1, holder = p_instance, holder_address = p_address,
         lease_until = clock_timestamp() + p_ms * interval '1 millisecond'
   WHERE h.chain_id = p_chain AND (h.holder IN ('', p_instance) OR h.lease_until <= clock_timestamp())
  RETURNING h.term, h.size, h.head, h.frontier
$$;

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

-- The compare-and-swap with which every append begins. The row lock orders leaders that race; the loser gets VF001.
CREATE FUNCTION onode.advance(p_chain int, p_term bigint, p_old_size bigint, p_old_head bytea,
                              p_new_size bigint, p_new_head bytea, p_frontier bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE onode.chain_head h SET size = p_new_size, head = p_new_head, frontier = p_frontier
   WHERE h.chain_id = p_chain AND h.term = p_term AND h.size = p_old_size AND h.head = p_old_head;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'fenced: chain % is not at term %, size % and the head given', p_chain, p_term, p_old_size
      USING ERRCODE = 'VF001';
  END IF;
  INSERT INTO onode.batch (chain_id, first_seq, next_seq, term, prev_head, last_head)
    VALUES (p_chain, p_old_size, p_new_size, p_term, p_old_head, p_new_head);
END $$;

CREATE FUNCTION onode.put_checkpoint_intent(p_chain int, p_term bigint, p_size bigint, p_root bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  now_size bigint;
  stands   bytea;
BEGIN
  SELECT h.size INTO now_size FROM onode.chain_head h WHERE h.chain_id = p_chain AND h.term = p_term FOR SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'fenced: chain % is not at term %', p_chain, p_term USING ERRCODE = 'VF001';
  END IF;
  IF p_size > now_size THEN
    RAISE EXCEPTION 'size % is beyond the head of chain %, %', p_size, p_chain, now_size USING ERRCODE = 'VF005';
  END IF;
  INSERT INTO onode.checkpoint (chain_id, size, root) VALUES (p_chain, p_size, p_root) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    SELECT c.root INTO stands FROM onode.checkpoint c WHERE c.chain_id = p_chain AND c.size = p_size;
    IF stands IS DISTINCT FROM p_root THEN
      RAISE EXCEPTION 'another root stands at size % of chain %', p_size, p_chain USING ERRCODE = 'VF002';
    END IF;
  END IF;
END $$;

CREATE FUNCTION onode.put_checkpoint_note(p_chain int, p_size bigint, p_note text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE onode.checkpoint c SET note = p_note WHERE c.chain_id = p_chain AND c.size = p_size AND c.note IS NULL;
  IF NOT FOUND AND NOT EXISTS (SELECT FROM onode.checkpoint c
                               WHERE c.chain_id = p_chain AND c.size = p_size AND c.note = p_note) THEN
    RAISE EXCEPTION 'no intent, or another note, stands at size % of chain %', p_size, p_chain USING ERRCODE = 'VF006';
  END IF;
END $$;

-- Keeps a path's newest frames within both bounds. Returns how many went out. The row of quarantine_use is the lock.
CREATE FUNCTION onode.put_quarantine(p_chain int, p_received_ns bigint, p_path bytea, p_source bytea, p_reason text,
                                     p_frame bytea, p_max_frames bigint, p_max_bytes bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  has_frames bigint;
  has_bytes  bigint;
  gone       bigint := 0;
  oldest     record;
BEGIN
  INSERT INTO onode.quarantine_use AS u VALUES (p_chain, p_path, 1, octet_length(p_frame))
    ON CONFLICT (chain_id, path) DO UPDATE SET frames = u.frames + 1, bytes = u.bytes + octet_length(p_frame)
    RETURNING u.frames, u.bytes INTO has_frames, has_bytes;
  INSERT INTO onode.quarantine (chain_id, received_ns, path, source, reason, frame)
    VALUES (p_chain, p_received_ns, p_path, p_source, p_reason, p_frame);
  IF has_frames <= p_max_frames AND has_bytes <= p_max_bytes THEN
    RETURN 0;
  END IF;
  FOR oldest IN SELECT q.id, octet_length(q.frame) AS len FROM onode.quarantine q
                 WHERE q.chain_id = p_chain AND q.path = p_path ORDER BY q.id LOOP
    EXIT WHEN has_frames <= p_max_frames AND has_bytes <= p_max_bytes;
    DELETE FROM onode.quarantine q WHERE q.id = oldest.id;
    has_frames := has_frames - 1;
    has_bytes := has_bytes - oldest.len;
    gone := gone + 1;
  END LOOP;
  UPDATE onode.quarantine_use u SET frames = has_frames, bytes = has_bytes
   WHERE u.chain_id = p_chain AND u.path = p_path;
  RETURN gone;
END $$;
