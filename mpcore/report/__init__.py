"""Reports. All of them draw from one frame, so that they cannot disagree."""
