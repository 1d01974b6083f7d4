"""A site: the log in Kafka, the state in PostgreSQL, as many processes as wanted."""
