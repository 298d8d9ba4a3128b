"""The service on several machines, measured on one: replicas behind a proxy."""
