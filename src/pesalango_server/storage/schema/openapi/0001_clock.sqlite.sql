-- The production book keeps real time: nothing may move its clock.
CREATE TRIGGER ledger_state_keeps_real_time BEFORE UPDATE OF clock_offset_ms ON ledger_state
WHEN NEW.clock_offset_ms <> 0
BEGIN SELECT RAISE(ABORT, 'the clock of openapi cannot be moved'); END;
CREATE TRIGGER ledger_state_starts_in_real_time BEFORE INSERT ON ledger_state
WHEN NEW.clock_offset_ms <> 0
BEGIN SELECT RAISE(ABORT, 'the clock of openapi cannot be moved'); END;
