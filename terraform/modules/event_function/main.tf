# One event-driven function with its own identity.

locals {
  hyphened = "${var.prefix}-${replace(var.name, "_", "-")}"
}

resource "google_service_account" "function" {
  project      = var.project
  account_id   = local.hyphened
  display_name = "Runs the function ${var.name}"

  lifecycle {
    precondition {
      condition     = length(local.hyphened) <= 30
      error_message = "The identity ${local.hyphened} would have more than 30 characters: give the function a shorter name or the stack a shorter key."
    }
  }
}

resource "google_cloudfunctions2_function" "function" {
  project     = var.project
  location    = var.region
  name        = local.hyphened
  description = var.description

  kms_key_name = var.kms_key_name

  build_config {
    runtime           = "python312"
    entry_point       = var.name
    service_account   = var.build.service_account
    docker_repository = var.build.repository

    source {
      storage_source {
        bucket = var.archive.bucket
        object = var.archive.object
      }
    }
  }

  service_config {
    available_cpu         = "1"
    available_memory      = "${var.memory_mb}Mi"
    environment_variables = var.environment
    ingress_settings      = "ALLOW_INTERNAL_ONLY"
    max_instance_count    = var.max_instances
    service_account_email = google_service_account.function.email
    timeout_seconds       = var.timeout_s

    direct_vpc_egress = var.network == null ? null : var.network.egress == "ALL_TRAFFIC" ? "VPC_EGRESS_ALL_TRAFFIC" : "VPC_EGRESS_PRIVATE_RANGES_ONLY"

    dynamic "direct_vpc_network_interface" {
      for_each = var.network[*]
      content {
        network    = direct_vpc_network_interface.value.network
        subnetwork = direct_vpc_network_interface.value.subnetwork
      }
    }
  }

  event_trigger {
    event_type            = var.trigger.event_type
    pubsub_topic          = var.trigger.pubsub_topic
    service_account_email = google_service_account.function.email
    # A bucket's events leave from where it lies.
    trigger_region = var.region
    # Made through this API, a function is tried once unless this is said. What should come again
    # leaves it as an exception (shared/edge.py).
    retry_policy = "RETRY_POLICY_RETRY"

    dynamic "event_filters" {
      for_each = var.trigger.filters
      content {
        attribute = event_filters.key
        value     = event_filters.value
      }
    }
  }

  # A trigger whose identity may not receive yet is refused.
  depends_on = [google_project_iam_member.function]
}

# Roles that no single resource of ours carries. What it prints is logged without one.
resource "google_project_iam_member" "function" {
  for_each = setunion(
    ["roles/telemetry.tracesWriter"],
    # Topics deliver by Pub/Sub itself and need no such role.
    startswith(var.trigger.event_type, "google.cloud.pubsub.") ? [] : ["roles/eventarc.eventReceiver"],
  )

  project = var.project
  role    = each.key
  member  = google_service_account.function.member
}

# Events are delivered as the function's own identity, to this function only.
resource "google_cloud_run_v2_service_iam_member" "invoker" {
  project  = var.project
  location = var.region
  name     = google_cloudfunctions2_function.function.name
  role     = "roles/run.invoker"
  member   = google_service_account.function.member
}
