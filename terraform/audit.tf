# Who read or changed what. What administers (grants, deletions of buckets, deployments) Google
# writes down always, for 400 days, at no cost. Reading and writing data is written down from here
# on, in the bucket _Default, for 30 days.
# Cost: 0.50 USD a GiB, the first 50 GiB a month of a project free (cloud.google.com/logging/pricing,
# list price, 2026-11-21). Our own workloads' everyday traffic would be nearly all of it, and the
# store keeps its own audit of what they do; so for Firestore they are exempt, and what remains is
# people. For buckets, secrets and keys nobody is: a read there is a recording, a transcript or a
# secret, whoever reads it.

locals {
  # Firestore is configured under the older name (firestore/docs/audit-logging).
  audited = {
    "storage.googleapis.com"       = { kinds = ["ADMIN_READ", "DATA_READ", "DATA_WRITE"], exempt = [] }
    "datastore.googleapis.com"     = { kinds = ["ADMIN_READ", "DATA_READ", "DATA_WRITE"], exempt = local.workloads }
    "secretmanager.googleapis.com" = { kinds = ["ADMIN_READ", "DATA_READ", "DATA_WRITE"], exempt = [] }
    "cloudkms.googleapis.com"      = { kinds = ["ADMIN_READ", "DATA_READ", "DATA_WRITE"], exempt = [] }
    # Who was let in, and who was not.
    "iap.googleapis.com" = { kinds = ["ADMIN_READ", "DATA_READ", "DATA_WRITE"], exempt = [] }
    # Who looked at the environment of a service.
    "run.googleapis.com" = { kinds = ["ADMIN_READ", "DATA_READ"], exempt = [] }
  }

  workloads = distinct(flatten([for one in module.stack : one.workloads]))
}

resource "google_project_iam_audit_config" "data" {
  for_each = local.audited

  project = var.project
  service = each.key

  dynamic "audit_log_config" {
    for_each = each.value.kinds
    content {
      log_type         = audit_log_config.value
      exempted_members = audit_log_config.value == "ADMIN_READ" ? [] : each.value.exempt
    }
  }
}
