-- A generated database in memory: inserts, indexes, joins, windows, updates, deletes, vacuum.
PRAGMA journal_mode = MEMORY;
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, town TEXT, born INTEGER, notes TEXT);
CREATE TABLE trade (id INTEGER PRIMARY KEY, seller INTEGER, buyer INTEGER, amount REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
INSERT INTO person SELECT i, 'name' || (i * 7919 % 10007), 'town' || (i % 97), 1900 + i % 120,
    substr(hex(zeroblob(i % 400)), 1, i % 700) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO trade SELECT i, i * 31 % 30000 + 1, i * 17 % 30000 + 1, (i * 104729 % 100003) / 100.0 FROM n;
CREATE INDEX person_town ON person (town, born);
CREATE INDEX trade_seller ON trade (seller);
SELECT count(*), sum(n) FROM (SELECT town, count(*) n, min(born), group_concat(name) FROM person GROUP BY town);
SELECT count(*), round(sum(s)) FROM (SELECT p.town, q.town, sum(t.amount) s FROM trade t
    JOIN person p ON p.id = t.seller JOIN person q ON q.id = t.buyer GROUP BY 1, 2);
SELECT sum(r) FROM (SELECT row_number() OVER (PARTITION BY town ORDER BY born, id) r FROM person);
SELECT length(json_group_array(json_object('id', id, 'name', name))) FROM person;
UPDATE person SET notes = notes || name WHERE id % 3 = 0;
DELETE FROM trade WHERE id % 5 = 0;
VACUUM;
SELECT count(*) FROM trade;
