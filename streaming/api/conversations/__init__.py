"""`/v1/conversations`: what a program keeps here between its responses, item by item."""
