"""1 READ: a job file becomes tasks."""
