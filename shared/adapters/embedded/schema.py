"""The embedded store's tables, as steps from one schema version to the next.

A released step is never edited; a change is a new step at the end. `Database` applies what
is missing when it opens a file, in one transaction, and refuses files of a newer version.
"""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE tenants (
        id TEXT PRIMARY KEY,
        tier TEXT NOT NULL,
        overrides TEXT NOT NULL,
        created_us INTEGER NOT NULL,
        ledger TEXT NOT NULL
    ) STRICT;

    CREATE TABLE recordings (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        bucket TEXT NOT NULL,
        name TEXT NOT NULL,
        path TEXT NOT NULL,
        generation INTEGER NOT NULL,
        size_bytes INTEGER NOT NULL,
        content_type TEXT NOT NULL,
        state TEXT NOT NULL,
        tier TEXT NOT NULL,
        lane TEXT,
        rule TEXT,
        wishes TEXT NOT NULL,
        received_us INTEGER NOT NULL,
        updated_us INTEGER NOT NULL,
        kept_until_us INTEGER NOT NULL,
        seconds REAL,
        deferred_until_us INTEGER,
        error_code TEXT,
        error_message TEXT,
        review INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        progress REAL NOT NULL DEFAULT 0,
        language TEXT,
        confidence REAL,
        result TEXT
    ) STRICT;
    CREATE INDEX recordings_newest ON recordings (received_us DESC, id DESC);
    CREATE INDEX recordings_of_tenant ON recordings (tenant, received_us DESC, id DESC);
    CREATE INDEX recordings_by_state ON recordings (state, received_us DESC, id DESC);
    CREATE INDEX recordings_deferred ON recordings (deferred_until_us) WHERE state = 'deferred';

    CREATE TABLE jobs (
        recording_id TEXT PRIMARY KEY REFERENCES recordings (id),
        lane TEXT NOT NULL,
        state TEXT NOT NULL,  -- ready, leased, deferred, over, dead, discarded
        start_tag REAL NOT NULL,
        not_before_us INTEGER NOT NULL DEFAULT 0,
        token INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        handed_over INTEGER NOT NULL DEFAULT 0,
        worker TEXT,
        lease_until_us INTEGER
    ) STRICT;
    CREATE INDEX jobs_ready ON jobs (lane, start_tag, recording_id) WHERE state = 'ready';
    CREATE INDEX jobs_leased ON jobs (lease_until_us) WHERE state = 'leased';
    CREATE INDEX jobs_dead ON jobs (recording_id) WHERE state = 'dead';

    CREATE TABLE checkpoints (
        recording_id TEXT NOT NULL,
        task TEXT NOT NULL,
        idx INTEGER NOT NULL,
        plan TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (recording_id, task, idx)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE history (
        recording_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        state TEXT NOT NULL,
        at_us INTEGER NOT NULL,
        actor TEXT NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (recording_id, seq)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY,
        event_id TEXT NOT NULL UNIQUE,
        topic TEXT NOT NULL,
        recording_id TEXT NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX outbox_of_recording ON outbox (recording_id);

    CREATE TABLE published (
        seq INTEGER PRIMARY KEY,
        event_id TEXT NOT NULL UNIQUE,
        topic TEXT NOT NULL,
        recording_id TEXT NOT NULL,
        body TEXT NOT NULL
    ) STRICT;

    CREATE VIRTUAL TABLE passages USING fts5 (
        text, recording_id UNINDEXED, tenant UNINDEXED, start_s UNINDEXED, end_s UNINDEXED,
        tokenize = "unicode61 remove_diacritics 2"
    );

    CREATE TABLE objects (
        name TEXT NOT NULL,
        generation INTEGER NOT NULL,
        size_bytes INTEGER NOT NULL,
        content_type TEXT NOT NULL,
        metadata TEXT NOT NULL,
        created_us INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        PRIMARY KEY (name, generation)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX objects_by_content ON objects (sha256);

    CREATE TABLE storage_events (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        generation INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE inbox_seen (
        path TEXT PRIMARY KEY,
        size_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        name TEXT NOT NULL,
        generation INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    # What each attempt was and why it ended, when jobs died, who was rung for, and how far
    # reconcile's errands have come. Until now a failure's reason was its bare code, so that
    # much is carried over; what was never kept stays empty.
    """
    ALTER TABLE history ADD COLUMN attempt INTEGER;
    ALTER TABLE history ADD COLUMN error_code TEXT;
    ALTER TABLE history ADD COLUMN error_message TEXT;
    ALTER TABLE history ADD COLUMN error_engine TEXT;
    UPDATE history SET attempt = CAST(substr(reason, 9) AS INTEGER)
        WHERE state = 'processing' AND reason LIKE 'attempt %';
    UPDATE history SET error_code = reason, error_message = ''
        WHERE state IN ('queued', 'dead', 'rejected') AND reason NOT LIKE '% %'
        AND reason NOT IN ('replayed', 'discarded');
    CREATE INDEX history_deaths ON history (at_us)
        WHERE state = 'dead' AND error_code IS NOT NULL;

    ALTER TABLE recordings ADD COLUMN error_engine TEXT;

    ALTER TABLE jobs ADD COLUMN rung_us INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN dead_us INTEGER;
    UPDATE jobs SET dead_us = (
        SELECT updated_us FROM recordings WHERE id = jobs.recording_id)
        WHERE state IN ('dead', 'discarded');
    DROP INDEX jobs_dead;
    CREATE INDEX jobs_dead ON jobs (dead_us, recording_id) WHERE state = 'dead';
    CREATE INDEX jobs_unrung ON jobs (rung_us) WHERE state = 'ready';

    CREATE TABLE arrivals (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        generation INTEGER NOT NULL,
        hidden_until_us INTEGER NOT NULL DEFAULT 0
    ) STRICT;

    CREATE TABLE bookmarks (
        name TEXT PRIMARY KEY,
        note TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    # The trace of a recording, so that whoever works on it goes on there; and of a message.
    """
    ALTER TABLE recordings ADD COLUMN trace TEXT;
    ALTER TABLE outbox ADD COLUMN trace TEXT;
    """,
    # What an answer depends on, so that known content is not heard again.
    """
    ALTER TABLE recordings ADD COLUMN answer_key TEXT;
    CREATE INDEX recordings_answered ON recordings (tenant, answer_key)
        WHERE answer_key IS NOT NULL;
    """,
    # Paid calls: committed before they are made, one a segment, engine and attempt.
    """
    ALTER TABLE tenants ADD COLUMN fallback INTEGER NOT NULL DEFAULT 0;

    CREATE TABLE calls (
        id INTEGER PRIMARY KEY,
        recording_id TEXT NOT NULL,
        tenant TEXT NOT NULL,
        day TEXT NOT NULL,
        engine TEXT NOT NULL,
        task TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        micro_usd INTEGER NOT NULL,
        settled INTEGER NOT NULL DEFAULT 0,
        segments TEXT NOT NULL,
        answer TEXT
    ) STRICT;
    CREATE INDEX calls_of_day ON calls (tenant, day);

    CREATE TABLE called (
        recording_id TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        engine TEXT NOT NULL,
        task TEXT NOT NULL,
        segment INTEGER NOT NULL,
        call_id INTEGER NOT NULL,
        PRIMARY KEY (recording_id, attempt, engine, task, segment)
    ) STRICT, WITHOUT ROWID;
    """,
    # API keys: a digest of each, never the key.
    """
    CREATE TABLE api_keys (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        scope TEXT NOT NULL,
        name TEXT NOT NULL,
        digest TEXT NOT NULL,
        made_us INTEGER NOT NULL,
        revoked_us INTEGER,
        used_on TEXT
    ) STRICT, WITHOUT ROWID;
    """,
    # What a tenant's recordings are asked; NULL is the built-in profile.
    """
    ALTER TABLE tenants ADD COLUMN profile TEXT;
    """,
    # A day's money is taken in slices; what was spent until now is one that is over.
    """
    ALTER TABLE calls ADD COLUMN holder TEXT NOT NULL DEFAULT '';

    CREATE TABLE money (
        tenant TEXT NOT NULL,
        day TEXT NOT NULL,
        taken INTEGER NOT NULL,
        PRIMARY KEY (tenant, day)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE slices (
        tenant TEXT NOT NULL,
        day TEXT NOT NULL,
        holder TEXT NOT NULL,
        granted INTEGER NOT NULL,
        spent INTEGER NOT NULL,
        until_us INTEGER NOT NULL,
        PRIMARY KEY (tenant, day, holder)
    ) STRICT, WITHOUT ROWID;

    INSERT INTO slices (tenant, day, holder, granted, spent, until_us)
        SELECT tenant, day, '', sum(micro_usd), sum(micro_usd), 0 FROM calls GROUP BY tenant, day;
    INSERT INTO money (tenant, day, taken) SELECT tenant, day, granted FROM slices;
    """,
    # What people say was said: create-only, beside a result that stays as it is.
    """
    CREATE TABLE corrections (
        recording_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        tenant TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (recording_id, version)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX corrections_of_tenant ON corrections (tenant, recording_id);
    """,
    # Tenants whose data may not leave.
    """
    ALTER TABLE tenants ADD COLUMN residency INTEGER NOT NULL DEFAULT 0;
    """,
    # Whom a recording is about, how long it is kept, and what keeps it longer.
    """
    ALTER TABLE recordings ADD COLUMN subject TEXT;
    ALTER TABLE recordings ADD COLUMN announced_us INTEGER;
    ALTER TABLE recordings ADD COLUMN extended_us INTEGER;
    ALTER TABLE recordings ADD COLUMN hold_reason TEXT;
    ALTER TABLE recordings ADD COLUMN hold_actor TEXT;
    ALTER TABLE recordings ADD COLUMN hold_us INTEGER;
    CREATE INDEX recordings_due ON recordings (kept_until_us, id)
        WHERE state <> 'erased' AND hold_us IS NULL;
    CREATE INDEX recordings_unannounced ON recordings (kept_until_us, id)
        WHERE state <> 'erased' AND hold_us IS NULL AND announced_us IS NULL;
    CREATE INDEX recordings_of_subject ON recordings (tenant, subject, id)
        WHERE subject IS NOT NULL;
    """,
    # Keys have roles, may end by themselves, and may have a successor.
    """
    ALTER TABLE api_keys RENAME COLUMN scope TO role;
    ALTER TABLE api_keys ADD COLUMN scopes TEXT;  -- NULL: all of the role
    ALTER TABLE api_keys ADD COLUMN expires_us INTEGER;
    ALTER TABLE api_keys ADD COLUMN rotated_to TEXT;
    UPDATE api_keys SET scopes = 'recordings:read recordings:write' WHERE role = 'write';
    UPDATE api_keys SET role = CASE role WHEN 'read' THEN 'reader' WHEN 'write' THEN 'owner'
        ELSE 'operator' END;
    """,
    # Histories are chains, actions are kept, and both wait for a seal. What is older than this
    # has no head: a chain begins with the next line.
    """
    ALTER TABLE history ADD COLUMN salt TEXT;
    ALTER TABLE history ADD COLUMN commitment TEXT;
    ALTER TABLE history ADD COLUMN head TEXT;
    ALTER TABLE recordings ADD COLUMN head TEXT;
    ALTER TABLE recordings ADD COLUMN moves INTEGER NOT NULL DEFAULT 0;
    UPDATE recordings SET moves = (
        SELECT count(*) FROM history WHERE recording_id = recordings.id);

    CREATE TABLE actions (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        at_us INTEGER NOT NULL,
        actor TEXT NOT NULL,
        method TEXT NOT NULL,
        route TEXT NOT NULL,
        recording_id TEXT,
        status INTEGER NOT NULL,
        salt TEXT,
        commitment TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX actions_newest ON actions (at_us DESC, id DESC);
    CREATE INDEX actions_of_tenant ON actions (tenant, at_us DESC, id DESC);

    CREATE TABLE unsealed (
        tenant TEXT NOT NULL,
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (tenant, kind, id, seq)
    ) STRICT, WITHOUT ROWID;
    """,
    # Who is told of what, and what is on its way there.
    """
    CREATE TABLE webhooks (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        url TEXT NOT NULL,
        types TEXT NOT NULL,
        secret TEXT NOT NULL,
        made_us INTEGER NOT NULL,
        disabled_us INTEGER,
        old_secret TEXT,
        old_until_us INTEGER,
        failing_us INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX webhooks_of_tenant ON webhooks (tenant);

    CREATE TABLE deliveries (
        webhook_id TEXT NOT NULL,
        event_id TEXT NOT NULL,
        tenant TEXT NOT NULL,
        type TEXT NOT NULL,
        recording_id TEXT NOT NULL,
        body TEXT NOT NULL,
        made_us INTEGER NOT NULL,
        state TEXT NOT NULL,
        next_us INTEGER,
        tries INTEGER NOT NULL,
        attempts TEXT NOT NULL,
        settled_us INTEGER,
        PRIMARY KEY (webhook_id, event_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX deliveries_due ON deliveries (next_us) WHERE next_us IS NOT NULL;
    CREATE INDEX deliveries_settled ON deliveries (settled_us) WHERE settled_us IS NOT NULL;
    CREATE INDEX deliveries_of_webhook
        ON deliveries (webhook_id, made_us DESC, event_id DESC);
    CREATE INDEX deliveries_of_tenant
        ON deliveries (tenant, made_us DESC, event_id DESC, webhook_id DESC);
    """,
    # Since when a recording is kept, whose rules have changed, and which objects are held.
    """
    ALTER TABLE recordings ADD COLUMN uploaded_us INTEGER;
    CREATE INDEX recordings_ending ON recordings (tenant, kept_until_us, id)
        WHERE state <> 'erased' AND hold_us IS NULL;

    ALTER TABLE tenants ADD COLUMN resettle INTEGER NOT NULL DEFAULT 0;
    UPDATE tenants SET resettle = 1;

    CREATE TABLE object_holds (
        name TEXT NOT NULL,
        generation INTEGER NOT NULL,
        PRIMARY KEY (name, generation)
    ) STRICT, WITHOUT ROWID;
    """,
    # Erasures, what refuses erased content, and where search keeps each recording's passages.
    """
    CREATE TABLE erasures (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        recording_id TEXT,
        cause TEXT NOT NULL,
        actor TEXT NOT NULL,
        asked_us INTEGER NOT NULL,
        step TEXT NOT NULL,
        name TEXT,
        listed TEXT NOT NULL,
        found TEXT,
        engines TEXT NOT NULL,
        erased_us INTEGER,
        receipt TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX erasures_of_recording ON erasures (recording_id)
        WHERE recording_id IS NOT NULL;
    CREATE INDEX erasures_running ON erasures (asked_us, id)
        WHERE step NOT IN ('waiting', 'done');
    CREATE INDEX erasures_waiting ON erasures (id) WHERE step = 'waiting';

    CREATE TABLE tombstones (
        tenant TEXT NOT NULL,
        hash TEXT NOT NULL,
        until_us INTEGER NOT NULL,
        PRIMARY KEY (tenant, hash)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tombstones_until ON tombstones (until_us);

    CREATE TABLE tenant_keys (
        tenant TEXT PRIMARY KEY,
        key BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE passage_places (
        recording_id TEXT NOT NULL,
        passage_id INTEGER NOT NULL,
        PRIMARY KEY (recording_id, passage_id)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO passage_places SELECT recording_id, rowid FROM passages;
    CREATE INDEX calls_of_recording ON calls (recording_id);
    CREATE INDEX inbox_seen_of_object ON inbox_seen (name, generation);
    CREATE INDEX storage_events_of_object ON storage_events (name, generation);
    CREATE INDEX arrivals_of_object ON arrivals (name, generation);
    """,
    # Seconds of a day in slices, for sound that is waited for; what becomes of too many uploads.
    """
    ALTER TABLE tenants ADD COLUMN over_quota TEXT NOT NULL DEFAULT 'defer';

    CREATE TABLE sound_slices (
        tenant TEXT NOT NULL,
        day TEXT NOT NULL,
        holder TEXT NOT NULL,
        granted INTEGER NOT NULL,
        spent INTEGER NOT NULL,
        until_us INTEGER NOT NULL,
        PRIMARY KEY (tenant, day, holder)
    ) STRICT, WITHOUT ROWID;
    """,
    # Dropped files that are erased: no path, only what keeps the inbox from taking them again.
    """
    CREATE TABLE inbox_forgotten (
        tenant TEXT NOT NULL,
        path_hash TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        content_hash TEXT,
        PRIMARY KEY (tenant, path_hash)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX published_letters ON published (recording_id) WHERE topic = 'jobs-dead';
    """,
    # Originals in their long-term form. What was heard before is looked at once: 30 days after its
    # upload, and whether it is PCM shows then.
    """
    ALTER TABLE recordings ADD COLUMN compress_us INTEGER;
    ALTER TABLE recordings ADD COLUMN clear_us INTEGER;
    ALTER TABLE recordings ADD COLUMN archived_name TEXT;
    ALTER TABLE recordings ADD COLUMN archived_generation INTEGER;
    ALTER TABLE recordings ADD COLUMN archived_bytes INTEGER;
    ALTER TABLE recordings ADD COLUMN archived_us INTEGER;
    UPDATE recordings SET compress_us = coalesce(uploaded_us, received_us) + 30 * 86400000000
        WHERE state = 'done' AND kept_until_us - coalesce(uploaded_us, received_us)
            >= 120 * 86400000000
        AND content_type IN ('audio/wav', 'audio/x-wav', 'audio/wave', 'audio/vnd.wave',
            'audio/aiff', 'audio/x-aiff', 'application/octet-stream', '');
    CREATE INDEX recordings_to_compress ON recordings (compress_us, id)
        WHERE compress_us IS NOT NULL AND hold_us IS NULL AND state = 'done';
    CREATE INDEX recordings_to_clear ON recordings (clear_us, id)
        WHERE clear_us IS NOT NULL AND hold_us IS NULL AND state = 'done';
    CREATE INDEX recordings_archived ON recordings (name) WHERE archived_us IS NOT NULL;
    """,
    # An index that names the state is written anew by every move; these three need only know
    # whether a recording is erased, and the other two whether there is something to do.
    """
    ALTER TABLE recordings ADD COLUMN erased INTEGER NOT NULL DEFAULT 0;
    UPDATE recordings SET erased = 1 WHERE state = 'erased';
    DROP INDEX recordings_due;
    CREATE INDEX recordings_due ON recordings (kept_until_us, id)
        WHERE erased = 0 AND hold_us IS NULL;
    DROP INDEX recordings_unannounced;
    CREATE INDEX recordings_unannounced ON recordings (kept_until_us, id)
        WHERE erased = 0 AND hold_us IS NULL AND announced_us IS NULL;
    DROP INDEX recordings_ending;
    CREATE INDEX recordings_ending ON recordings (tenant, kept_until_us, id)
        WHERE erased = 0 AND hold_us IS NULL;
    DROP INDEX recordings_to_compress;
    CREATE INDEX recordings_to_compress ON recordings (compress_us, id)
        WHERE compress_us IS NOT NULL AND hold_us IS NULL;
    DROP INDEX recordings_to_clear;
    CREATE INDEX recordings_to_clear ON recordings (clear_us, id)
        WHERE clear_us IS NOT NULL AND hold_us IS NULL;
    """,
)
