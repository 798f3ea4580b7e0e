"""What many runs say together: tables. Read from run folders alone, without torch."""
