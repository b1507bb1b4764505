int hostlib_answer(void) { return 42; }
