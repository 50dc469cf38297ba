-- The view `measurements`, which everybody reads: at-least-once delivery writes a row twice now and
-- then. The condition is there because QUALIFY wants one.
SELECT * FROM `${table}`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY at) = 1
