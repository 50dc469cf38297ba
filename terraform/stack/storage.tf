# Buckets, and who may do what in them.
#
# Versioning is off and soft delete is on where anything of a tenant's lies, and the two are one
# decision. With versioning a delete only makes a generation noncurrent: it can still be read by its
# number, its lifetime is a lifecycle rule's, and an erasure that forgets one leaves it for good.
# Soft delete keeps what was deleted or replaced for a while (`soft_delete`), where no reader finds it
# (404, as the adapter promises) and from where only an operator restores it; then it is gone without
# anybody doing anything. 7 days, the least that is not none, are the default, and Firestore's too; an
# erasure's receipt states what all of it comes to (forgetting.tf). A later change does not shorten
# what was deleted before it.
#
# Objects change their class by lifecycle only: a rewrite is a new generation, which would be heard
# again as a new recording.

locals {
  # Without protection nothing is kept behind: `terraform destroy` must leave nothing that costs.
  deletion_policy = var.delete_protection ? "PREVENT" : "DELETE"
  soft_delete_s   = var.delete_protection ? var.soft_delete_s : 0

  # Whoever works here, by the name that grants use.
  members = merge(local.identities, { for name, one in module.function : name => one.member })
}

resource "google_storage_bucket" "uploads" {
  project                     = var.project
  name                        = "${var.project}-${var.name}-uploads"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  # Recordings are the only thing here that cannot be made again.
  force_destroy   = !var.delete_protection
  deletion_policy = local.deletion_policy

  versioning {
    enabled = false
  }

  soft_delete_policy {
    retention_duration_seconds = local.soft_delete_s
  }

  # The page sends what is dropped on it straight here: with these headers and no others, each of
  # them signed (shared/domain/permits.py). Whoever may read an answer learns nothing from it.
  cors {
    max_age_seconds = 3600
    method          = ["PUT"]
    origin          = ["https://${local.gateway_host}"]
    response_header = ["Content-Type", "x-goog-content-length-range", "x-goog-if-generation-match", "x-goog-meta-name"]
  }

  # A recording is read when it arrives and seldom after. The free tier's are gone after 30 days,
  # which is also the least that Nearline is billed for; Coldline's least is 90. What is FLAC in
  # `archive` by then is gone two days after it became so.
  lifecycle_rule {
    condition {
      age = 31
    }
    action {
      type          = "SetStorageClass"
      storage_class = "NEARLINE"
    }
  }

  lifecycle_rule {
    condition {
      age = 91
    }
    action {
      type          = "SetStorageClass"
      storage_class = "COLDLINE"
    }
  }

  # Parts of uploads that nobody finished are billed and listed nowhere.
  lifecycle_rule {
    condition {
      age = 1
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }

  dynamic "encryption" {
    for_each = var.cmek ? [local.kms_key] : []
    content {
      default_kms_key_name = encryption.value
    }
  }
}

resource "google_storage_bucket" "results" {
  project                     = var.project
  name                        = "${var.project}-${var.name}-results"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  # Another hearing may answer otherwise and costs again.
  force_destroy   = !var.delete_protection
  deletion_policy = local.deletion_policy

  versioning {
    enabled = false
  }

  soft_delete_policy {
    retention_duration_seconds = local.soft_delete_s
  }

  dynamic "encryption" {
    for_each = var.cmek ? [local.kms_key] : []
    content {
      default_kms_key_name = encryption.value
    }
  }
}

# Originals that are kept long, as FLAC (shared/domain/long_term.py): written once, by the GPU service,
# and read when somebody plays, exports or restores one. Coldline from the first day: it is billed for
# 90 days at least, so what is not kept for 90 more stays in `uploads`, and it costs 0.02 USD to read a
# GB of it. After a year Archive, whose own least, 365 days, is over by then.
# Source: Cloud Storage, "Storage classes"; price: its page, 2026-11-21.
resource "google_storage_bucket" "archive" {
  project                     = var.project
  name                        = "${var.project}-${var.name}-archive"
  location                    = var.region
  storage_class               = "COLDLINE"
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

  lifecycle_rule {
    condition {
      age = 365
    }
    action {
      type          = "SetStorageClass"
      storage_class = "ARCHIVE"
    }
  }

  dynamic "encryption" {
    for_each = var.cmek ? [local.kms_key] : []
    content {
      default_kms_key_name = encryption.value
    }
  }
}

# Nothing here outlives a day, deleted or not.
resource "google_storage_bucket" "temp" {
  project                     = var.project
  name                        = "${var.project}-${var.name}-temp"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true
  deletion_policy             = "DELETE"

  versioning {
    enabled = false
  }

  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    condition {
      age = 1
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      age = 1
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }

  dynamic "encryption" {
    for_each = var.cmek ? [local.kms_key] : []
    content {
      default_kms_key_name = encryption.value
    }
  }
}

# The functions' source, one object a version. Terraform deletes the old one when it puts the new
# one; versioning keeps that for 30 days, so that a rollback finds what it rolls back to.
resource "google_storage_bucket" "functions" {
  project                     = var.project
  name                        = "${var.project}-${var.name}-functions"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true
  deletion_policy             = "DELETE"

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    condition {
      days_since_noncurrent_time = 30
    }
    action {
      type = "Delete"
    }
  }

  dynamic "encryption" {
    for_each = var.cmek ? [local.kms_key] : []
    content {
      default_kms_key_name = encryption.value
    }
  }
}

resource "google_storage_bucket_iam_member" "uploads" {
  for_each = {
    gateway           = "roles/storage.objectUser"
    on_audio_uploaded = "roles/storage.objectViewer"
    reconcile         = "roles/storage.objectViewer"
    retire            = "roles/storage.objectUser"
    service           = "roles/storage.objectViewer"
  }

  bucket = google_storage_bucket.uploads.name
  role   = each.value
  member = local.members[each.key]
}

resource "google_storage_bucket_iam_member" "results" {
  for_each = {
    gateway   = "roles/storage.objectViewer"
    reconcile = "roles/storage.objectUser"
    retire    = "roles/storage.objectUser"
    service   = "roles/storage.objectUser"
  }

  bucket = google_storage_bucket.results.name
  role   = each.value
  member = local.members[each.key]
}

# The service writes FLACs and takes away those that another was faster with; `retire` looks at each
# again before the upload goes, and erases; the gateway plays, exports, holds and erases at once. Of
# what was uploaded the service may delete nothing: that is `retire`'s, two days later.
resource "google_storage_bucket_iam_member" "archive" {
  for_each = toset(["gateway", "retire", "service"])

  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectUser"
  member = local.members[each.key]
}

# Plans of exports: the gateway makes and reads them, and an erasure ends those of its tenant.
resource "google_storage_bucket_iam_member" "temp" {
  for_each = toset(["gateway", "retire"])

  bucket = google_storage_bucket.temp.name
  role   = "roles/storage.objectUser"
  member = local.members[each.key]
}

# A tenant's own systems drop recordings into its folder and can do nothing else there: not read, not
# list, not replace.
resource "google_storage_managed_folder" "tenant" {
  for_each = { for tenant, one in var.tenants : tenant => one if length(one.writers) > 0 }

  bucket = google_storage_bucket.uploads.name
  name   = "uploads/${each.key}/"
  # Only the door goes: what was dropped stays in the bucket.
  force_destroy = true
}

resource "google_storage_managed_folder_iam_member" "tenant" {
  for_each = merge([
    for tenant, one in var.tenants :
    { for member in one.writers : "${tenant} ${member}" => { tenant = tenant, member = member } }
  ]...)

  bucket         = google_storage_bucket.uploads.name
  managed_folder = google_storage_managed_folder.tenant[each.value.tenant].name
  role           = "roles/storage.objectCreator"
  member         = each.value.member
}

# The second notification, beside Eventarc's: what it tells of and nobody recorded, `reconcile` finds.
resource "google_storage_notification" "upload_arrivals" {
  bucket         = google_storage_bucket.uploads.name
  topic          = google_pubsub_topic.topic["upload-arrivals"].id
  event_types    = ["OBJECT_FINALIZE"]
  payload_format = "JSON_API_V1"

  depends_on = [google_pubsub_topic_iam_member.storage_agent]
}
