"""What several rooms need to reach outside systems: secrets by reference, Kafka. It imports core only."""
