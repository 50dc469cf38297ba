# Google's own agents. Most are made when their product is first used, and a role given to one that
# does not exist yet is refused; so they are made first, and again on any later apply at no harm.
# One that is made on demand does not get the role that Google gives it otherwise, so that role is
# given here (cloud.google.com/iam/docs/create-service-agents and /service-agents, read 2026-11-21).
#
# Whoever applies first is a person: the identity that applies in Cloud Build may not give these
# roles (build.tf), and need not, for nothing here changes later. Destroying takes them away; where
# another system lives in the project, `terraform state rm google_project_iam_member.agent` before.

locals {
  # Of each API: its agent, and the role of every such agent. What ours need beside that stands with
  # the resources, for keys in stack/keys.tf.
  agents = {
    artifactregistry = { domain = "gcp-sa-artifactregistry", role = "roles/artifactregistry.serviceAgent" }
    cloudfunctions   = { domain = "gcf-admin-robot", role = "roles/cloudfunctions.serviceAgent" }
    eventarc         = { domain = "gcp-sa-eventarc", role = "roles/eventarc.serviceAgent" }
    firestore        = { domain = "gcp-sa-firestore", role = "roles/firestore.serviceAgent" }
    iap              = { domain = "gcp-sa-iap", role = null }
    pubsub           = { domain = "gcp-sa-pubsub", role = "roles/pubsub.serviceAgent" }
    run              = { domain = "serverless-robot-prod", role = "roles/run.serviceAgent" }
    secretmanager    = { domain = "gcp-sa-secretmanager", role = null }
  }
}

resource "google_workload_identity_service_agent" "agent" {
  for_each = local.agents

  parent = "projects/${data.google_project.this.number}/locations/global/serviceProducers/${each.key}.googleapis.com"

  depends_on = [google_project_service.api]
}

resource "google_project_iam_member" "agent" {
  for_each = { for api, one in local.agents : api => one if one.role != null }

  project = var.project
  role    = each.value.role
  member  = "serviceAccount:service-${data.google_project.this.number}@${each.value.domain}.iam.gserviceaccount.com"

  depends_on = [google_workload_identity_service_agent.agent]
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
