# A container that answers requests, and who may call it.

locals {
  # Known before it is made, so that a service can be told its own address.
  # Source: Cloud Run, "Deterministic URLs".
  host = "${var.name}-${var.project_number}.${var.region}.run.app"

  probe_period_s = 10
}

resource "google_cloud_run_v2_service" "this" {
  custom_audiences     = length(var.audiences) > 0 ? var.audiences : null
  default_uri_disabled = var.default_uri_disabled
  deletion_protection  = var.delete_protection
  iap_enabled          = var.iap
  ingress              = var.ingress
  location             = var.region
  name                 = var.name
  project              = var.project

  # Of the service, not of a revision: a change makes no new revision, which would load its
  # engines anew.
  scaling {
    max_instance_count = var.max_instances
    min_instance_count = var.min_instances
  }

  template {
    encryption_key = var.kms_key_name
    # Mounted buckets need the second generation, and so does a GPU.
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    gpu_zonal_redundancy_disabled    = var.gpu == null ? null : !var.gpu.zonal_redundancy
    max_instance_request_concurrency = var.concurrency
    service_account                  = var.identity
    session_affinity                 = var.session_affinity
    timeout                          = "${var.timeout_s}s"

    containers {
      args  = length(var.args) > 0 ? var.args : null
      image = var.image

      dynamic "env" {
        for_each = var.environment
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = var.secrets
        content {
          name = env.key
          value_source {
            secret_key_ref {
              secret  = env.value
              version = "latest"
            }
          }
        }
      }

      ports {
        container_port = 8080
      }

      resources {
        cpu_idle          = var.cpu_idle
        startup_cpu_boost = true
        limits = merge(
          { cpu = var.cpu, memory = var.memory },
          var.gpu == null ? {} : { "nvidia.com/gpu" = "1" },
        )
      }

      startup_probe {
        failure_threshold = ceil(var.probes.start_s / local.probe_period_s)
        period_seconds    = local.probe_period_s
        timeout_seconds   = 5

        dynamic "http_get" {
          for_each = var.probes.started[*]
          content {
            path = http_get.value
          }
        }
        dynamic "tcp_socket" {
          for_each = var.probes.started == null ? [8080] : []
          content {
            port = tcp_socket.value
          }
        }
      }

      # Three minutes of silence: an instance that is busy is slow, not dead.
      dynamic "liveness_probe" {
        for_each = var.probes.alive[*]
        content {
          failure_threshold = 6
          period_seconds    = 30
          timeout_seconds   = 10
          http_get {
            path = liveness_probe.value
          }
        }
      }

      dynamic "volume_mounts" {
        for_each = var.weights[*]
        content {
          mount_path = volume_mounts.value.path
          name       = "weights"
        }
      }
    }

    dynamic "node_selector" {
      for_each = var.gpu[*]
      content {
        accelerator = node_selector.value.accelerator
      }
    }

    dynamic "volumes" {
      for_each = var.weights[*]
      content {
        name = "weights"
        gcs {
          bucket    = volumes.value.bucket
          read_only = true
          # Folders that are only parts of names; files of the image's own user (Dockerfile).
          mount_options = ["implicit-dirs", "uid=10001", "gid=10001"]
        }
      }
    }

    dynamic "vpc_access" {
      for_each = var.network[*]
      content {
        egress = vpc_access.value.egress
        network_interfaces {
          network    = vpc_access.value.network
          subnetwork = vpc_access.value.subnetwork
        }
      }
    }
  }

  lifecycle {
    # The scaler writes it (`scale`); the variable is where it begins.
    ignore_changes = [scaling[0].min_instance_count]
  }
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = var.invokers

  location = google_cloud_run_v2_service.this.location
  member   = each.value
  name     = google_cloud_run_v2_service.this.name
  project  = google_cloud_run_v2_service.this.project
  role     = "roles/run.invoker"
}
