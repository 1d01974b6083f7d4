CREATE SCHEMA penstock;
CREATE TABLE penstock.attempts (
    run text NOT NULL COLLATE pg_catalog."C",
    step text NOT NULL COLLATE pg_catalog."C",
    item bigint NOT NULL,
    attempt bigint NOT NULL,
    tenant text NOT NULL COLLATE pg_catalog."C",
    phase text NOT NULL COLLATE pg_catalog."C",
    function text NOT NULL COLLATE pg_catalog."C",
    place text NOT NULL COLLATE pg_catalog."C",
    started_ns bigint NOT NULL,
    ended_ns bigint NOT NULL,
    error text NOT NULL COLLATE pg_catalog."C",
    result bytea NOT NULL,
    outputs text NOT NULL COLLATE pg_catalog."C",
    log text NOT NULL COLLATE pg_catalog."C",
    shard bigint NOT NULL,
    whole text
);
CREATE TABLE penstock.cursors (
    reader text NOT NULL COLLATE pg_catalog."C",
    partition bigint NOT NULL,
    "offset" bigint NOT NULL,
    shard bigint NOT NULL,
    whole text
);
CREATE TABLE penstock.dead_letters (
    id text NOT NULL COLLATE pg_catalog."C",
    tenant text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    subject text NOT NULL COLLATE pg_catalog."C",
    reason text NOT NULL COLLATE pg_catalog."C",
    body bytea NOT NULL,
    run text NOT NULL COLLATE pg_catalog."C",
    at_ns bigint NOT NULL,
    state text NOT NULL COLLATE pg_catalog."C",
    shard bigint NOT NULL,
    whole text
);
CREATE TABLE penstock.decisions (
    event_id text NOT NULL COLLATE pg_catalog."C",
    source text NOT NULL COLLATE pg_catalog."C",
    trigger text NOT NULL COLLATE pg_catalog."C",
    tenant text NOT NULL COLLATE pg_catalog."C",
    "offset" bigint NOT NULL,
    subject text NOT NULL COLLATE pg_catalog."C",
    outcome text NOT NULL COLLATE pg_catalog."C",
    run text NOT NULL COLLATE pg_catalog."C",
    reason text NOT NULL COLLATE pg_catalog."C",
    at_ns bigint NOT NULL,
    shard bigint NOT NULL,
    whole text
);
CREATE TABLE penstock.definitions (
    kind text NOT NULL COLLATE pg_catalog."C",
    tenant text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    body bytea NOT NULL,
    deployed_ns bigint NOT NULL,
    active boolean NOT NULL,
    shard bigint NOT NULL,
    whole text
);
CREATE TABLE penstock.files (
    storage text NOT NULL COLLATE pg_catalog."C",
    path bytea NOT NULL,
    generation bigint NOT NULL,
    size bigint NOT NULL,
    mtime_ns bigint NOT NULL,
    ctime_ns bigint NOT NULL,
    inode bigint NOT NULL,
    present boolean NOT NULL,
    event_id text NOT NULL COLLATE pg_catalog."C",
    version text NOT NULL COLLATE pg_catalog."C",
    "offset" bigint NOT NULL,
    shard bigint NOT NULL,
    whole text
);
CREATE TABLE penstock.heard (
    source text NOT NULL COLLATE pg_catalog."C",
    door text NOT NULL COLLATE pg_catalog."C",
    last_ns bigint NOT NULL,
    gap_ns bigint NOT NULL,
    count bigint NOT NULL,
    shard bigint NOT NULL,
    whole text
);
CREATE TABLE penstock.intents (
    key text NOT NULL COLLATE pg_catalog."C",
    run text NOT NULL COLLATE pg_catalog."C",
    tenant text NOT NULL COLLATE pg_catalog."C",
    moves bytea NOT NULL,
    answer bytea NOT NULL,
    done boolean NOT NULL,
    shard bigint NOT NULL,
    whole text
);
CREATE TABLE penstock.meta (
    key text NOT NULL,
    value text NOT NULL
);
CREATE TABLE penstock.outputs (
    path bytea NOT NULL,
    tenant text NOT NULL COLLATE pg_catalog."C",
    run text NOT NULL COLLATE pg_catalog."C",
    subject text NOT NULL COLLATE pg_catalog."C",
    workflow text NOT NULL COLLATE pg_catalog."C",
    "offset" bigint NOT NULL,
    depth bigint NOT NULL,
    inode bigint NOT NULL,
    published_ns bigint NOT NULL,
    event_id text NOT NULL COLLATE pg_catalog."C",
    step text NOT NULL COLLATE pg_catalog."C",
    item bigint NOT NULL,
    shard bigint NOT NULL,
    whole text
);
CREATE TABLE penstock.partitions (
    partition bigint NOT NULL,
    epoch bigint NOT NULL,
    owner text NOT NULL,
    since_ns bigint NOT NULL,
    commits bigint NOT NULL,
    backend bigint NOT NULL
)
WITH (fillfactor='50');
CREATE TABLE penstock.positions (
    source text NOT NULL COLLATE pg_catalog."C",
    part text NOT NULL COLLATE pg_catalog."C",
    "position" text NOT NULL COLLATE pg_catalog."C",
    shard bigint NOT NULL,
    whole text
);
CREATE TABLE penstock.runs (
    id text NOT NULL COLLATE pg_catalog."C",
    tenant text NOT NULL COLLATE pg_catalog."C",
    workflow text NOT NULL COLLATE pg_catalog."C",
    trigger text NOT NULL COLLATE pg_catalog."C",
    event_id text NOT NULL COLLATE pg_catalog."C",
    subject text NOT NULL COLLATE pg_catalog."C",
    phase text NOT NULL COLLATE pg_catalog."C",
    started_ns bigint NOT NULL,
    ended_ns bigint NOT NULL,
    error text NOT NULL COLLATE pg_catalog."C",
    snapshot bytea NOT NULL,
    shard bigint NOT NULL,
    whole text
);
CREATE TABLE penstock.seen (
    source text NOT NULL COLLATE pg_catalog."C",
    event_id text NOT NULL COLLATE pg_catalog."C",
    "offset" bigint NOT NULL,
    shard bigint NOT NULL,
    whole text
);
CREATE TABLE penstock.timers (
    id text NOT NULL COLLATE pg_catalog."C",
    run text NOT NULL COLLATE pg_catalog."C",
    due_ns bigint NOT NULL,
    fact bytea NOT NULL,
    done boolean NOT NULL,
    shard bigint NOT NULL,
    whole text
);
CREATE TABLE penstock.trees (
    storage text NOT NULL COLLATE pg_catalog."C",
    folder bytea NOT NULL,
    lost_ns bigint NOT NULL,
    reason text NOT NULL COLLATE pg_catalog."C",
    proven_ns bigint NOT NULL,
    by text NOT NULL COLLATE pg_catalog."C",
    listed bigint NOT NULL,
    created bigint NOT NULL,
    deleted bigint NOT NULL,
    trouble text NOT NULL COLLATE pg_catalog."C",
    since_ns bigint NOT NULL,
    shard bigint NOT NULL,
    whole text
);
INSERT INTO penstock.attempts VALUES ('run of AttemptRow', 'step of AttemptRow', 7, 7, 'tenant of AttemptRow', 'phase of AttemptRow', 'function of AttemptRow', 'place of AttemptRow', 7, 7, 'error of AttemptRow', '\xff006279746573', 'outputs of AttemptRow', 'log of AttemptRow', 3, NULL);
INSERT INTO penstock.cursors VALUES ('reader of CursorRow', 7, 7, 3, NULL);
INSERT INTO penstock.dead_letters VALUES ('id of DeadLetter', 'tenant of DeadLetter', 'kind of DeadLetter', 'subject of DeadLetter', 'reason of DeadLetter', '\xff006279746573', 'run of DeadLetter', 7, 'state of DeadLetter', 3, NULL);
INSERT INTO penstock.decisions VALUES ('event_id of Decision', 'source of Decision', 'trigger of Decision', 'tenant of Decision', 7, 'subject of Decision', 'outcome of Decision', 'run of Decision', 'reason of Decision', 7, 3, NULL);
INSERT INTO penstock.definitions VALUES ('kind of Definition', 'tenant of Definition', 'name of Definition', 7, '\xff006279746573', 7, true, 3, NULL);
INSERT INTO penstock.files VALUES ('storage of FileState', '\xff006279746573', 7, 7, 7, 7, 7, true, 'event_id of FileState', 'version of FileState', 7, 3, NULL);
INSERT INTO penstock.heard VALUES ('source of HeardRow', 'door of HeardRow', 7, 7, 7, 3, NULL);
INSERT INTO penstock.intents VALUES ('key of Intent', 'run of Intent', 'tenant of Intent', '\xff006279746573', '\xff006279746573', true, 3, NULL);
INSERT INTO penstock.meta VALUES ('schema', '5');
INSERT INTO penstock.outputs VALUES ('\xff006279746573', 'tenant of OutputRow', 'run of OutputRow', 'subject of OutputRow', 'workflow of OutputRow', 7, 7, 7, 7, 'event_id of OutputRow', 'step of OutputRow', 7, 3, NULL);
INSERT INTO penstock.partitions VALUES (3, 1, 'golden', 1795290493684379176, 1, 9555);
INSERT INTO penstock.positions VALUES ('source of PositionRow', 'part of PositionRow', 'position of PositionRow', 3, NULL);
INSERT INTO penstock.runs VALUES ('id of RunRow', 'tenant of RunRow', 'workflow of RunRow', 'trigger of RunRow', 'event_id of RunRow', 'subject of RunRow', 'phase of RunRow', 7, 7, 'error of RunRow', '\xff006279746573', 3, NULL);
INSERT INTO penstock.seen VALUES ('source of Seen', 'event_id of Seen', 7, 3, NULL);
INSERT INTO penstock.timers VALUES ('id of TimerRow', 'run of TimerRow', 7, '\xff006279746573', true, 3, NULL);
INSERT INTO penstock.trees VALUES ('storage of TreeRow', '\xff006279746573', 7, 'reason of TreeRow', 7, 'by of TreeRow', 7, 7, 7, 'trouble of TreeRow', 7, 3, NULL);
ALTER TABLE ONLY penstock.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (run, step, item, attempt, shard);
ALTER TABLE ONLY penstock.cursors
    ADD CONSTRAINT cursors_pkey PRIMARY KEY (reader, partition, shard);
ALTER TABLE ONLY penstock.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (id);
ALTER TABLE ONLY penstock.decisions
    ADD CONSTRAINT decisions_pkey PRIMARY KEY (event_id, source, trigger, shard);
ALTER TABLE ONLY penstock.definitions
    ADD CONSTRAINT definitions_pkey PRIMARY KEY (kind, tenant, name, version, shard);
ALTER TABLE ONLY penstock.heard
    ADD CONSTRAINT heard_pkey PRIMARY KEY (source, door);
ALTER TABLE ONLY penstock.intents
    ADD CONSTRAINT intents_pkey PRIMARY KEY (key, shard);
ALTER TABLE ONLY penstock.meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (key);
ALTER TABLE ONLY penstock.partitions
    ADD CONSTRAINT partitions_pkey PRIMARY KEY (partition);
ALTER TABLE ONLY penstock.positions
    ADD CONSTRAINT positions_pkey PRIMARY KEY (source, part);
ALTER TABLE ONLY penstock.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (id, shard);
ALTER TABLE ONLY penstock.seen
    ADD CONSTRAINT seen_pkey PRIMARY KEY (source, event_id, shard);
ALTER TABLE ONLY penstock.timers
    ADD CONSTRAINT timers_pkey PRIMARY KEY (id, shard);
CREATE INDEX attempts_of_jobs ON penstock.attempts USING btree (started_ns) WHERE (place <> 'pool'::text);
CREATE INDEX dead_letters_by_state ON penstock.dead_letters USING btree (state, at_ns);
CREATE INDEX dead_letters_by_subject ON penstock.dead_letters USING hash (subject);
CREATE INDEX decisions_by_subject ON penstock.decisions USING hash (subject);
CREATE INDEX decisions_without_run ON penstock.decisions USING btree (at_ns) WHERE (run = ''::text);
CREATE INDEX files_gone ON penstock.files USING btree ("offset") WHERE (NOT present);
CREATE UNIQUE INDEX files_key ON penstock.files USING btree (storage, "substring"(path, 1, 1400), sha256("substring"(path, 1401)));
CREATE INDEX intents_by_done ON penstock.intents USING btree (done);
CREATE UNIQUE INDEX outputs_key ON penstock.outputs USING btree ("substring"(path, 1, 1400), sha256("substring"(path, 1401)));
CREATE INDEX runs_by_phase ON penstock.runs USING btree (phase, started_ns);
CREATE INDEX runs_by_start ON penstock.runs USING btree (started_ns);
CREATE INDEX runs_by_subject ON penstock.runs USING hash (subject);
CREATE INDEX seen_by_offset ON penstock.seen USING btree ("offset");
CREATE INDEX timers_by_done ON penstock.timers USING btree (done);
CREATE UNIQUE INDEX trees_key ON penstock.trees USING btree (storage, "substring"(folder, 1, 1400), sha256("substring"(folder, 1401)));
