-- The production book keeps real time: nothing may move its clock.
ALTER TABLE ledger_state ADD CONSTRAINT ledger_state_keeps_real_time CHECK (clock_offset_ms = 0);
