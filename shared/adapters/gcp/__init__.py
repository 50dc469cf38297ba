"""The same on Google's parts: Firestore, Cloud Storage, Pub/Sub, BigQuery."""
