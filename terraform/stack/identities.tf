# One identity a workload; functions bring theirs (modules/event_function). What each may do stands
# beside the resource that it may do it to.

resource "google_service_account" "service" {
  account_id   = "${var.name}-service"
  display_name = "Hears: the GPU service"
  project      = var.project
}

resource "google_service_account" "gateway" {
  account_id   = "${var.name}-gateway"
  display_name = "The public door: API and page"
  project      = var.project
}

# For people and jobs that load and unload engines; nothing runs as it.
resource "google_service_account" "operator" {
  account_id   = "${var.name}-operator"
  display_name = "Loads and unloads engines"
  project      = var.project
}

locals {
  identities = {
    gateway  = google_service_account.gateway.member
    operator = google_service_account.operator.member
    service  = google_service_account.service.member
  }
}

# Spans go to the project, not to a resource of it (shared/adapters/opentelemetry_spans.py). The
# gateway sends none.
resource "google_project_iam_member" "service_traces" {
  member  = local.identities.service
  project = var.project
  role    = "roles/telemetry.tracesWriter"
}
