"""A run: its settings, the machine, one or several processes, the run folder, the bar, stopping and going on."""
