int targetlib_answer(void) { return 42; }
