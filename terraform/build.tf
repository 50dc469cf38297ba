# Cloud Build: a proposed change is checked, a push to the branch is built and planned, and what was
# planned is applied once somebody approves it (cloudbuild*.yaml, docs/build.md).
#
# Three identities, so that none can do another's work: `check` runs anybody's code and may write
# logs; `build` makes images and plans and changes nothing that runs; `apply` changes everything,
# and runs only what was approved. What `build` and `apply` may do is changed by a person: an apply
# cannot give itself more.

locals {
  # On Google Cloud a repository is known by a connection of this region, or to GitHub's app.
  linked = try(var.repository.connection, null) != null
  linkage = local.linked ? { repository = google_cloudbuildv2_repository.sources["sources"].id, uri = null } : {
    repository = null
    uri        = try("https://github.com/${var.repository.owner}/${var.repository.name}", null)
  }

  # What only triggered builds need is made for each: for the one, or for none.
  repositories = var.repository == null ? {} : { sources = var.repository }

  # A trigger takes a pattern of the whole name.
  branch = try("^${var.repository.branch}$", null)

  artefacts = "${var.project}-${var.prefix}-artefacts"

  # Scans run in one of three places; the nearest one.
  # Source: gcloud artifacts docker images scan --location.
  scanned_in = lookup({ europe = "europe", asia = "asia" }, split("-", var.region)[0], "us")

  substitutions = {
    _ARTEFACTS     = google_storage_bucket.artefacts.name
    _PLANS         = try(google_pubsub_topic.plans["sources"].id, "")
    _REGISTRY      = module.stack["home"].build.registry
    _SCAN_LOCATION = local.scanned_in
    _STATE         = var.state_bucket == null ? "" : var.state_bucket
    _VARIANT       = var.gpu == null ? "cpu" : "cuda"
    _WEIGHTS       = join(" ", [for one in module.stack : one.build.weights])
  }
}

# --- what builds leave ----------------------------------------------------------------------------

# Plans, and what was found in images. A plan is applied as it lies here: nothing may be replaced
# or deleted while it may be applied.
resource "google_storage_bucket" "artefacts" {
  force_destroy               = !var.delete_protection
  location                    = var.region
  name                        = local.artefacts
  project                     = var.project
  public_access_prevention    = "enforced"
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true

  dynamic "retention_policy" {
    for_each = var.delete_protection ? ["2592000"] : [] # 30 days
    content {
      retention_period = retention_policy.value
    }
  }

  dynamic "encryption" {
    for_each = module.stack["home"].build.kms_key[*]
    content {
      default_kms_key_name = encryption.value
    }
  }

  # Retention already forbids deleting.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  # An old plan is no use: anything applied since has made it stale.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 90
    }
  }

  depends_on = [google_project_service.api]
}

# `build` writes what is new there and reads its own sources, where a build is started by hand;
# an object that exists is beyond it.
resource "google_storage_bucket_iam_member" "artefacts_build" {
  for_each = toset(["roles/storage.objectCreator", "roles/storage.objectViewer"])

  bucket = google_storage_bucket.artefacts.name
  member = google_service_account.build.member
  role   = each.key
}

# Planning compares with the state. It holds no secret (stack/secrets.tf).
resource "google_storage_bucket_iam_member" "state_build" {
  count = var.state_bucket == null ? 0 : 1

  bucket = var.state_bucket
  member = google_service_account.build.member
  role   = "roles/storage.objectViewer"
}

# --- build ----------------------------------------------------------------------------------------

resource "google_service_account" "build" {
  account_id   = "${var.prefix}-build"
  display_name = "Builds images and plans"
  project      = var.project

  depends_on = [google_project_service.api]
}

resource "google_project_iam_member" "build" {
  for_each = toset([
    "roles/browser",                           # the project's number, which names carry
    "roles/logging.logWriter",                 # its log
    "roles/ondemandscanning.admin",            # scans of images; there is no smaller role for it
    "roles/serviceusage.serviceUsageConsumer", # calls count on this project (versions.tf)
  ])

  project = var.project
  role    = each.key
  member  = google_service_account.build.member
}

resource "google_artifact_registry_repository_iam_member" "build" {
  location   = var.region
  member     = google_service_account.build.member
  project    = var.project
  repository = module.stack["home"].build.repository
  role       = "roles/artifactregistry.writer"
}

# Whisper's weights, into each stack's bucket: what is missing is created and looked at, and what is
# there stays as it is.
resource "google_storage_bucket_iam_member" "weights_build" {
  for_each = merge([
    for key in keys(local.stacks) : {
      for role in ["roles/storage.objectCreator", "roles/storage.objectViewer"] :
      "${key} ${role}" => { stack = key, role = role }
    }
  ]...)

  bucket = module.stack[each.value.stack].build.weights
  member = google_service_account.build.member
  role   = each.value.role
}

resource "google_project_service" "scanning" {
  project            = var.project
  service            = "ondemandscanning.googleapis.com"
  disable_on_destroy = false
}

# --- check ----------------------------------------------------------------------------------------

resource "google_service_account" "check" {
  for_each = local.repositories

  account_id   = "${var.prefix}-check"
  display_name = "Looks at proposed changes"
  project      = var.project
}

resource "google_project_iam_member" "check" {
  for_each = local.repositories

  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.check[each.key].member
}

# --- apply ----------------------------------------------------------------------------------------

resource "google_service_account" "apply" {
  for_each = local.repositories

  account_id   = "${var.prefix}-apply"
  display_name = "Applies approved plans"
  project      = var.project
}

locals {
  # What the kinds of resources in terraform/ demand of whoever makes, changes and unmakes them.
  # tests/terraform/test_build.py has each kind with its role: a kind that is new there, or a role
  # that nothing needs any more, is a failed test.
  applying = toset([
    "roles/artifactregistry.admin",               # repositories and who reads them
    "roles/bigquery.dataOwner",                   # dataset, tables, views
    "roles/browser",                              # the project's number
    "roles/cloudbuild.builds.editor",             # the triggers
    "roles/cloudbuild.connectionAdmin",           # the repository behind a connection
    "roles/cloudfunctions.admin",                 # functions
    "roles/cloudkms.admin",                       # cmek: keys and who uses them; it cannot use one
    "roles/cloudscheduler.admin",                 # ticks
    "roles/compute.loadBalancerAdmin",            # edge: addresses, proxies, certificates
    "roles/compute.networkAdmin",                 # vpc: network, address
    "roles/compute.securityAdmin",                # edge: Cloud Armor; vpc: firewall
    "roles/datastore.owner",                      # database, indexes, TTL; the smoke test reads too
    "roles/dns.admin",                            # vpc: Google's names inside it
    "roles/eventarc.admin",                       # triggers' keys
    "roles/iam.serviceAccountAdmin",              # identities
    "roles/iam.serviceAccountUser",               # workloads are given identities
    "roles/iap.admin",                            # who may open the page
    "roles/logging.logWriter",                    # its log
    "roles/monitoring.alertPolicyEditor",         # alerts
    "roles/monitoring.notificationChannelEditor", # who is told
    "roles/pubsub.admin",                         # topics, subscriptions and who uses them
    "roles/run.admin",                            # services and who calls them
    "roles/secretmanager.admin",                  # secrets, whose values Terraform never sees
    "roles/serviceusage.serviceUsageAdmin",       # APIs, and Google's agents
    "roles/storage.admin",                        # buckets, the archive, the state
  ])

  # What it may give to others on the whole project, and nothing else: the roles of workloads. So a
  # plan cannot make anybody an owner, and `apply` cannot make itself more than it is.
  delegated = [
    "roles/datastore.user",
    "roles/eventarc.eventReceiver",
    "roles/logging.logWriter",
    "roles/pubsub.publisher",
    "roles/storage.objectViewer",
    "roles/telemetry.tracesWriter",
  ]
}

resource "google_project_iam_member" "apply" {
  for_each = var.repository == null ? [] : local.applying

  project = var.project
  role    = each.key
  member  = google_service_account.apply["sources"].member
}

# Source: IAM, "Set limits on granting roles": at most 10 roles in one hasOnly.
resource "google_project_iam_member" "apply_grants" {
  for_each = local.repositories

  project = var.project
  role    = "roles/resourcemanager.projectIamAdmin"
  member  = google_service_account.apply[each.key].member

  condition {
    title      = "roles of workloads only"
    expression = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([${join(", ", [for role in local.delegated : "'${role}'"])}])"
  }
}

# --- who asks for what ----------------------------------------------------------------------------

# `build` says which plan; the apply build then waits for its approval.
resource "google_pubsub_topic" "plans" {
  for_each = local.repositories

  kms_key_name = module.stack["home"].build.kms_key
  name         = "${var.prefix}-plans"
  project      = var.project

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.api]
}

resource "google_pubsub_topic_iam_member" "plans_build" {
  for_each = local.repositories

  member  = google_service_account.build.member
  project = var.project
  role    = "roles/pubsub.publisher"
  topic   = google_pubsub_topic.plans[each.key].name
}

resource "google_project_iam_member" "approver" {
  for_each = toset(try(var.repository.approvers, []))

  project = var.project
  role    = "roles/cloudbuild.builds.approver"
  member  = each.key
}

# --- triggers -------------------------------------------------------------------------------------

resource "google_cloudbuildv2_repository" "sources" {
  for_each = { for key, one in local.repositories : key => one if local.linked }

  location          = var.region
  name              = "${var.prefix}-sources"
  parent_connection = each.value.connection
  project           = var.project
  remote_uri        = "https://github.com/${each.value.owner}/${each.value.name}.git"
}

resource "google_cloudbuild_trigger" "check" {
  for_each = local.repositories

  description     = "Looks at a proposed change"
  filename        = "cloudbuild.check.yaml"
  location        = var.region
  name            = "${var.prefix}-check"
  project         = var.project
  service_account = google_service_account.check[each.key].id

  dynamic "github" {
    for_each = local.linked ? [] : [each.value]
    content {
      name  = each.value.name
      owner = each.value.owner
      # Anybody's code: somebody of the repository says /gcbrun first.
      pull_request {
        branch          = local.branch
        comment_control = "COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY"
      }
    }
  }

  dynamic "repository_event_config" {
    for_each = local.linked ? [1] : []
    content {
      repository = local.linkage.repository
      pull_request {
        branch          = local.branch
        comment_control = "COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY"
      }
    }
  }

  depends_on = [google_project_iam_member.check]
}

resource "google_cloudbuild_trigger" "build" {
  for_each = local.repositories

  description     = "Images and a plan of what was pushed"
  filename        = "cloudbuild.yaml"
  location        = var.region
  name            = "${var.prefix}-build"
  project         = var.project
  service_account = google_service_account.build.id
  substitutions   = local.substitutions

  dynamic "github" {
    for_each = local.linked ? [] : [each.value]
    content {
      name  = each.value.name
      owner = each.value.owner
      push {
        branch = local.branch
      }
    }
  }

  dynamic "repository_event_config" {
    for_each = local.linked ? [1] : []
    content {
      repository = local.linkage.repository
      push {
        branch = local.branch
      }
    }
  }

  depends_on = [
    google_artifact_registry_repository_iam_member.build,
    google_project_iam_member.build,
    google_pubsub_topic_iam_member.plans_build,
    google_storage_bucket_iam_member.artefacts_build,
    google_storage_bucket_iam_member.state_build,
    google_storage_bucket_iam_member.weights_build,
  ]
}

resource "google_cloudbuild_trigger" "apply" {
  for_each = local.repositories

  description     = "Applies a plan that was approved"
  location        = var.region
  name            = "${var.prefix}-apply"
  project         = var.project
  service_account = google_service_account.apply[each.key].id

  approval_config {
    approval_required = true
  }

  git_file_source {
    path       = "cloudbuild.apply.yaml"
    repo_type  = "GITHUB"
    repository = local.linkage.repository
    revision   = "refs/heads/${each.value.branch}"
    uri        = local.linkage.uri
  }

  pubsub_config {
    topic = google_pubsub_topic.plans[each.key].id
  }

  source_to_build {
    ref        = "refs/heads/${each.value.branch}"
    repo_type  = "GITHUB"
    repository = local.linkage.repository
    uri        = local.linkage.uri
  }

  substitutions = {
    _ARTEFACTS = google_storage_bucket.artefacts.name
    # The one thing a message says.
    _PLAN  = "$(body.message.data.plan)"
    _STATE = local.substitutions._STATE
  }

  depends_on = [google_project_iam_member.apply, google_project_iam_member.apply_grants]
}

# --- what a build by hand must be told ------------------------------------------------------------

output "build" {
  description = "The identity and the substitutions of a build that is started by hand (docs/build.md)."
  value = {
    service_account = google_service_account.build.id
    substitutions   = local.substitutions
  }
}

output "environments" {
  description = "What every workload of a stack is told; deploy/smoke.py meets the stack by it."
  value       = { for key, one in module.stack : key => one.build.environment }
}
