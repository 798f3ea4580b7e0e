"""Jobs of a sweep: launchers, their shares of the machine, signals, how they end."""
