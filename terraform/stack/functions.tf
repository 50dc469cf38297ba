# One archive, one function for each entry of functions/functions.json.

locals {
  listed = jsondecode(file("${path.module}/../../functions/functions.json"))

  # What each may use. A function that is listed there and not here ends the plan: whoever adds one
  # decides what it may do (grants stand beside what they open).
  function_sizes = {
    # A burst of uploads wants many, one file each.
    on_audio_uploaded = { max_instances = 20, memory_mb = 512, timeout_s = 60 }
    on_job_dead       = { max_instances = 2, memory_mb = 512, timeout_s = 60 }
    # Each waits up to 20 s for somebody else's server.
    on_announcement = { max_instances = 10, memory_mb = 512, timeout_s = 60 }
    # A tick takes no new batch after 40 s, and a batch at most 50.
    deliver = { max_instances = 1, memory_mb = 512, timeout_s = 120 }
    # Ticks come one after the other; what a tick may look at is bounded so that it ends before the next.
    reconcile = { max_instances = 1, memory_mb = 512, timeout_s = 300 }
    retire    = { max_instances = 1, memory_mb = 512, timeout_s = 300 }
    seal      = { max_instances = 1, memory_mb = 512, timeout_s = 300 }
  }

  # What one is told beside what all are.
  function_settings = {
    reconcile = { EARWITNESS_TENANTS = jsonencode({ for tenant, one in var.tenants : tenant => one.tier }) }
  }

  triggers = {
    for name, one in local.listed : name => {
      event_type   = one.trigger.event_type
      pubsub_topic = can(one.trigger.topic) ? google_pubsub_topic.topic[one.trigger.topic].id : null
      filters      = can(one.trigger.bucket) ? { bucket = local.buckets[one.trigger.bucket] } : {}
    }
  }
  buckets = { uploads = google_storage_bucket.uploads.name }
}

resource "google_storage_bucket_object" "functions" {
  bucket = google_storage_bucket.functions.name
  name   = var.archive.name
  source = var.archive.path

  lifecycle {
    precondition {
      condition     = var.archive.name != ""
      error_message = "The archive of functions is not there: run `make archive`, which writes dist/functions.zip, and plan again."
    }
  }
}

module "function" {
  for_each = local.listed
  source   = "../modules/event_function"

  archive       = { bucket = google_storage_bucket.functions.name, object = google_storage_bucket_object.functions.name }
  build         = { service_account = google_service_account.functions_build.name, repository = google_artifact_registry_repository.functions.id }
  description   = each.value.description
  environment   = merge(local.environment, lookup(local.function_settings, each.key, {}))
  kms_key_name  = local.kms_key
  max_instances = local.function_sizes[each.key].max_instances
  memory_mb     = local.function_sizes[each.key].memory_mb
  name          = each.key
  network       = local.egress
  prefix        = var.name
  project       = var.project
  region        = var.region
  timeout_s     = local.function_sizes[each.key].timeout_s
  trigger       = local.triggers[each.key]

  # A build that may not read, write or log fails.
  depends_on = [
    google_artifact_registry_repository_iam_member.functions_build,
    google_project_iam_member.functions_build,
  ]
}

# --- building them ----------------------------------------------------------------------------------

resource "google_service_account" "functions_build" {
  project      = var.project
  account_id   = "${var.name}-functions-build"
  display_name = "Builds the functions"
}

# Named, else Google makes a repository of its own that Terraform neither cleans nor destroys.
resource "google_artifact_registry_repository" "functions" {
  project       = var.project
  location      = var.region
  repository_id = "${var.name}-functions"
  description   = "Images of the functions, as Cloud Functions builds them."
  format        = "DOCKER"
  kms_key_name  = local.kms_key

  cleanup_policies {
    id     = "keep-the-newest"
    action = "KEEP"

    most_recent_versions {
      keep_count = 3
    }
  }

  cleanup_policies {
    id     = "delete-the-old"
    action = "DELETE"

    condition {
      older_than = "2592000s"
    }
  }
}

resource "google_artifact_registry_repository_iam_member" "functions_build" {
  project    = var.project
  location   = var.region
  repository = google_artifact_registry_repository.functions.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.functions_build.member
}

# Cloud Functions copies the source into a bucket of Google's making, which is not there before the
# first function: the right to read it is the project's, with a condition that names it.
resource "google_project_iam_member" "functions_build" {
  for_each = {
    "roles/logging.logWriter"    = []
    "roles/storage.objectViewer" = ["projects/_/buckets/gcf-v2-sources-${var.project_number}-${var.region}"]
  }

  project = var.project
  role    = each.key
  member  = google_service_account.functions_build.member

  dynamic "condition" {
    for_each = each.value
    content {
      title      = "functions' sources only"
      expression = "resource.name.startsWith(\"${condition.value}\")"
    }
  }
}
