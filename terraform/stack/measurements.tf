# Measurements: rows that Pub/Sub writes, and the view without doubles that everybody reads. Schema
# and view are the code's own files.

locals {
  schemas     = "${path.module}/../../shared/schemas"
  columns     = file("${local.schemas}/inference_metrics.json")
  measurement = "${var.project}.${google_bigquery_dataset.measurements.dataset_id}.${google_bigquery_table.inference_metrics.table_id}"
}

resource "google_bigquery_dataset" "measurements" {
  project     = var.project
  dataset_id  = "${replace(var.name, "-", "_")}_measurements"
  location    = var.region
  description = "What was heard, by which engine, how long it took and what came of it. Read `measurements`."

  # Two days, the least there is: these are figures, and what is erased should go soon.
  max_time_travel_hours      = "48"
  delete_contents_on_destroy = !var.delete_protection

  dynamic "default_encryption_configuration" {
    for_each = var.cmek ? [local.kms_key] : []
    content {
      kms_key_name = default_encryption_configuration.value
    }
  }
}

resource "google_bigquery_table" "inference_metrics" {
  project             = var.project
  dataset_id          = google_bigquery_dataset.measurements.dataset_id
  table_id            = "inference_metrics"
  description         = "One row a recording, engine and task; now and then the same one twice."
  schema              = local.columns
  clustering          = ["engine", "task"]
  deletion_protection = var.delete_protection

  time_partitioning {
    type          = "DAY"
    field         = "at"
    expiration_ms = var.measurements_days * 24 * 3600 * 1000
  }

  dynamic "encryption_configuration" {
    for_each = var.cmek ? [local.kms_key] : []
    content {
      kms_key_name = encryption_configuration.value
    }
  }
}

resource "google_bigquery_table" "measurements" {
  project     = var.project
  dataset_id  = google_bigquery_dataset.measurements.dataset_id
  table_id    = "measurements"
  description = "inference_metrics without doubles."
  # It holds nothing.
  deletion_protection = false

  view {
    query          = templatefile("${local.schemas}/measurements.sql", { table = local.measurement })
    use_legacy_sql = false
  }
}

resource "google_bigquery_table_iam_member" "pubsub_agent" {
  project    = var.project
  dataset_id = google_bigquery_dataset.measurements.dataset_id
  table_id   = google_bigquery_table.inference_metrics.table_id
  role       = "roles/bigquery.dataEditor"
  member     = local.agents.pubsub
}

resource "google_pubsub_subscription" "inference_metrics" {
  project                    = var.project
  name                       = "${var.name}-inference-metrics"
  topic                      = google_pubsub_topic.topic["inference-metrics"].id
  message_retention_duration = "604800s"

  # A row with a column that the table lacks waits instead of being cut to fit: code that is ahead of
  # its table by the minutes of a deployment loses nothing, and by a day it shows among the dead
  # letters.
  bigquery_config {
    table               = local.measurement
    use_table_schema    = true
    drop_unknown_fields = false
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.topic["undelivered"].id
    max_delivery_attempts = 100
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  expiration_policy {
    ttl = ""
  }

  # A subscription whose agent cannot write is refused.
  depends_on = [google_bigquery_table_iam_member.pubsub_agent]
}
