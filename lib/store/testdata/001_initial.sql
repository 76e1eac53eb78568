-- Statements that both back ends take; a comment; with a semicolon and [brackets] in "names".
CREATE TABLE peer (name TEXT PRIMARY KEY, "odd;[name]" INTEGER NOT NULL DEFAULT 1);
INSERT INTO peer (name) VALUES ('back\slash ; and ''quote''');
