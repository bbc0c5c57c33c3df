"""What Redis knows for a while: finished tasks' results, and who to wake."""
