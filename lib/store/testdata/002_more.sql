CREATE TABLE session (peer TEXT NOT NULL REFERENCES peer (name), number BIGINT NOT NULL, PRIMARY KEY (peer, number));
