-- PostgreSQL keeps the keys against second payments in one index: several engines may write to it.
SELECT 1;
