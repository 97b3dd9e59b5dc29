"""Before anything is measured: what would spoil the figures, and what a session will take."""
