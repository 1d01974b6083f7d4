"""dCache as a source of events: billing records from Kafka, and the frontend's event streams."""
