# What every workload is told; each adds its own (functions.tf, gpu_service.tf, gateway.tf).
# Names are those of shared/settings.py; tests/terraform compares.

locals {
  environment = {
    EARWITNESS_BACKEND               = "gcp"
    EARWITNESS_PROJECT               = var.project
    EARWITNESS_UPLOADS_BUCKET        = google_storage_bucket.uploads.name
    EARWITNESS_RESULTS_BUCKET        = google_storage_bucket.results.name
    EARWITNESS_ARCHIVE_BUCKET        = google_storage_bucket.archive.name
    EARWITNESS_TEMP_BUCKET           = google_storage_bucket.temp.name
    EARWITNESS_AUDIT_BUCKET          = google_storage_bucket.audit.name
    EARWITNESS_FIRESTORE_DATABASE    = google_firestore_database.store.name
    EARWITNESS_TOPIC_PREFIX          = "${var.name}-"
    EARWITNESS_ARRIVALS_SUBSCRIPTION = google_pubsub_subscription.upload_arrivals.name
    EARWITNESS_METRICS_DATASET       = google_bigquery_dataset.measurements.dataset_id
    EARWITNESS_OUTER_BOUND_DAYS      = tostring(local.outer_bound_days)
    # Never is said as null: of a variable that is not there the code makes 30.
    EARWITNESS_ARCHIVE_AFTER_DAYS = jsonencode(var.archive_after_days)
    # The key's first version, made with it.
    EARWITNESS_SIGNING_KMS_KEY = local.testimony_key
    EARWITNESS_TRACES          = "otlp"
  }

  # What push tokens and the gateway's carry. Fixed, so that it is known before any address is.
  audience = "earwitness"

  agents = {
    pubsub  = "serviceAccount:service-${var.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
    storage = "serviceAccount:service-${var.project_number}@gs-project-accounts.iam.gserviceaccount.com"
  }
}
