"""How versions come into a gateway's memory: the trial, the load, what sleeps, and what gives way."""
