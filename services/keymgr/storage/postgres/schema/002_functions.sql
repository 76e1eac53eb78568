-- What the serving role may change, and how. Every function runs with its owner's rights and names every object in full.

-- Leases run by this database's clock. No row: somebody else holds it.
CREATE FUNCTION keymgr.take_lease(p_instance text, p_address text, p_ms bigint) RETURNS SETOF keymgr.ledger_head
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE keymgr.ledger_head h
     SET term = h.term + 1, holder = p_instance, holder_address = p_address,
         lease_until = clock_timestamp() + p_ms * interval '1 millisecond'
   WHERE h.holder IN ('', p_instance) OR h.lease_until <= clock_timestamp()
  RETURNING h.*
$$;

-- False: the term is no longer the caller's.
CREATE FUNCTION keymgr.renew_lease(p_term bigint, p_ms bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE keymgr.ledger_head h SET lease_until = clock_timestamp() + p_ms * interval '1 millisecond'
   WHERE h.term = p_term AND h.holder <> '';
  RETURN FOUND;
END $$;

CREATE FUNCTION keymgr.release_lease(p_term bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE keymgr.ledger_head h SET holder = '', holder_address = '', lease_until = '-infinity'
   WHERE h.term = p_term AND h.holder <> '';
  RETURN FOUND;
END $$;

CREATE FUNCTION keymgr.set_delivered(p_record bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE keymgr.ledger_head h SET delivered = greatest(h.delivered, least(p_record, h.record))
$$;

-- One group of changes with their records; rows come as JSON, bytes in them as hex. False: fenced, nothing was changed.
CREATE FUNCTION keymgr.commit_batch(p_term bigint, p_old_record bigint, p_old_sha256 bytea, p_new_sha256 bytea,
  p_puts text, p_erases text, p_put_keys text, p_drop_keys text, p_records text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  last record;
BEGIN
  SELECT x.record, x.epoch, x.sequence INTO last
    FROM jsonb_to_recordset(p_records::jsonb) AS x (record bigint, epoch bigint, sequence bigint)
   ORDER BY x.record DESC LIMIT 1;
  UPDATE keymgr.ledger_head h
     SET record = last.record, epoch = last.epoch, sequence = last.sequence, frame_sha256 = p_new_sha256
   WHERE h.term = p_term AND h.holder <> '' AND h.record = p_old_record AND h.frame_sha256 = p_old_sha256;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  DELETE FROM keymgr.record r USING jsonb_to_recordset(p_erases::jsonb) AS x (kind text, id text)
   WHERE r.kind = x.kind AND r.id = x.id;
  INSERT INTO keymgr.record AS r
  SELECT x.kind, x.id, x.parent, x.state, x.due_ns, x.body, x.created_ns, x.changed_ns, x.revision
    FROM jsonb_to_recordset(p_puts::jsonb) AS x (kind text, id text, parent text, state text, due_ns bigint, body text,
                                                 created_ns bigint, changed_ns bigint, revision bigint)
  ON CONFLICT (kind, id) DO UPDATE SET parent = excluded.parent, state = excluded.state, due_ns = excluded.due_ns,
    body = excluded.body, created_ns = excluded.created_ns, changed_ns = excluded.changed_ns,
    revision = excluded.revision;
  DELETE FROM keymgr.sealed_key k
   USING jsonb_to_recordset(p_drop_keys::jsonb) AS x (kind text, id text, version bigint)
   WHERE k.kind = x.kind AND k.id = x.id AND k.version = x.version;
  INSERT INTO keymgr.sealed_key AS k
  SELECT x.kind, x.id, x.version, x.algorithm, x.policy, x.custody, x.kek_version, decode(x.public_half, 'hex'),
         decode(x.sealed, 'hex'), x.locked, x.created_ns
    FROM jsonb_to_recordset(p_put_keys::jsonb) AS x (kind text, id text, version bigint, algorithm text, policy text,
                                                     custody text, kek_version bigint, public_half text, sealed text,
                                                     locked boolean, created_ns bigint)
  ON CONFLICT (kind, id, version) DO UPDATE SET algorithm = excluded.algorithm, policy = excluded.policy,
    custody = excluded.custody, kek_version = excluded.kek_version, public_half = excluded.public_half,
    sealed = excluded.sealed, locked = excluded.locked, created_ns = excluded.created_ns;
  INSERT INTO keymgr.audit
  SELECT x.record, x.epoch, x.sequence, x.time_ns, x.event, x.source, x.actor, x.method, x.reason, x.request_id,
         decode(x.request_sha256, 'hex'), decode(x.answer, 'hex'), decode(x.frame, 'hex')
    FROM jsonb_to_recordset(p_records::jsonb) AS x (record bigint, epoch bigint, sequence bigint, time_ns bigint,
                                                    event text, source text, actor text, method text, reason text,
                                                    request_id text, request_sha256 text, answer text, frame text);
  INSERT INTO keymgr.audit_key
  SELECT x.record, k.place, k.value ->> 'kind', k.value ->> 'id', (k.value ->> 'version')::bigint,
         k.value ->> 'algorithm'
    FROM jsonb_to_recordset(p_records::jsonb) AS x (record bigint, keys jsonb),
         jsonb_array_elements(x.keys) WITH ORDINALITY AS k (value, place);
  RETURN true;
END $$;
