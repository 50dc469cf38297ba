# Google's own agents. Most are made when their product is first used, and a role given to one that
# does not exist yet is refused; so they are made first, and again on any later apply at no harm.

locals {
  # Of each: who waits for it. Key grants are in stack/keys.tf, the others beside the resources.
  agents = toset([
    "artifactregistry.googleapis.com", # a key
    "cloudfunctions.googleapis.com",   # a key
    "eventarc.googleapis.com",         # events of buckets, a key
    "firestore.googleapis.com",        # a key
    "iap.googleapis.com",              # calls the gateway for whom it let in
    "pubsub.googleapis.com",           # dead letters, rows for BigQuery, a key
    "run.googleapis.com",              # a key
    "secretmanager.googleapis.com",    # notices of rotation, a key
  ])
}

resource "google_workload_identity_service_agent" "agent" {
  for_each = local.agents

  parent = "projects/${data.google_project.this.number}/locations/global/serviceProducers/${each.key}"

  depends_on = [google_project_service.api]
}

# Asking for these two makes them.

data "google_storage_project_service_account" "this" {
  project = var.project

  depends_on = [google_project_service.api]
}

data "google_bigquery_default_service_account" "this" {
  project = var.project

  depends_on = [google_project_service.api]
}
