# Our own workloads: the project's audit log leaves their everyday traffic in the store out
# (../audit.tf).

output "workloads" {
  description = "IAM members of everything that runs in this stack."
  value       = concat([local.identities.gateway, local.identities.service], [for one in module.function : one.member])
}

# Seals of the audit log, an object each, written once: whoever seals may create and read them, and
# nobody who works here may replace or delete one. While the retention runs not even an owner can;
# locked, nobody can shorten it either. What a seal holds names nothing that an erasure takes.
resource "google_storage_bucket" "audit" {
  project                     = var.project
  name                        = "${var.project}-${var.name}-audit"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.delete_protection
  deletion_policy             = local.deletion_policy

  versioning {
    enabled = false
  }

  soft_delete_policy {
    retention_duration_seconds = local.soft_delete_s
  }

  dynamic "retention_policy" {
    for_each = var.delete_protection ? [var.audit] : []
    content {
      retention_period = retention_policy.value.retention_days * 86400
      is_locked        = retention_policy.value.locked
    }
  }

  dynamic "encryption" {
    for_each = var.cmek ? [local.kms_key] : []
    content {
      default_kms_key_name = encryption.value
    }
  }
}

resource "google_storage_bucket_iam_member" "audit" {
  for_each = {
    "gateway reads" = { who = "gateway", role = "roles/storage.objectViewer" }
    "seal creates"  = { who = "seal", role = "roles/storage.objectCreator" }
    "seal reads"    = { who = "seal", role = "roles/storage.objectViewer" }
  }

  bucket = google_storage_bucket.audit.name
  role   = each.value.role
  member = local.members[each.value.who]
}
