# How long the platform still holds what was erased, in days: an erasure's receipt states the longest
# of them. Whoever holds the project could restore or read it so long, and nobody after that. Not
# counted: what Google writes down of administration for 400 days, which names no recording, and
# Google's own backups, which nobody reads through the project and which Google says end within six
# months (cloud.google.com/security/deletion, of May 2024).

locals {
  remembered_days = {
    # storage.tf.
    buckets = ceil(local.soft_delete_s / 86400)
    # Point-in-time recovery knows no other length. Source: Firestore, "Point-in-time recovery".
    database = 7
    # Time travel, and then fail-safe: 7 days that nobody can switch off.
    # Source: BigQuery, "Data retention with time travel and fail-safe".
    measurements = ceil(tonumber(google_bigquery_dataset.measurements.max_time_travel_hours) / 24) + 7
    # In a subscription until it is given up, and then as a dead letter, from the beginning.
    messages = ceil(sum([
      for one in [google_pubsub_subscription.upload_arrivals, google_pubsub_subscription.undelivered] :
      tonumber(trimsuffix(one.message_retention_duration, "s"))
    ]) / 86400)
    # The log bucket _Default, which audit.tf writes to as well, and spans.
    # Source: "Quotas and limits" of Cloud Logging and of Cloud Trace.
    logs = 30
  }

  outer_bound_days = max(values(local.remembered_days)...)
}
