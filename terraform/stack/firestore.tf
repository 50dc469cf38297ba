# The store of all metadata. Indexes and single-field exemptions are the code's own list.

locals {
  firestore = jsondecode(file("${path.module}/../../shared/adapters/gcp/firestore_indexes.json"))

  # jobs: state, dead_us desc
  firestore_indexes = {
    for index in local.firestore.indexes :
    "${index.collectionGroup}: ${join(", ", [
      for field in index.fields :
      "${field.fieldPath}${try(field.order, "") == "DESCENDING" ? " desc" : ""}"
    ])}" => index
  }
}

resource "google_firestore_database" "store" {
  project     = var.project
  name        = "${var.name}-store"
  location_id = var.region
  type        = "FIRESTORE_NATIVE"

  # Any minute of the last 7 days can be restored (forgetting.tf).
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"
  delete_protection_state           = var.delete_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  # Unsaid, `terraform destroy` would leave the database behind, and its bill.
  deletion_policy = local.deletion_policy

  dynamic "cmek_config" {
    for_each = var.cmek ? [local.kms_key] : []
    content {
      kms_key_name = cmek_config.value
    }
  }
}

resource "google_firestore_index" "index" {
  for_each = local.firestore_indexes

  project     = var.project
  database    = google_firestore_database.store.name
  collection  = each.value.collectionGroup
  query_scope = each.value.queryScope

  dynamic "fields" {
    for_each = each.value.fields
    content {
      field_path   = fields.value.fieldPath
      order        = try(fields.value.order, null)
      array_config = try(fields.value.arrayConfig, null)
    }
  }
}

# What recordings sound like, nearest first, and always within one tenant: the filter is part of the
# index, so that nobody's vectors are read for somebody else's question. Flat is the only kind there
# is. A vector is the means and the deviations of an engine's hidden states; those of another length
# are not in this index and not found.
resource "google_firestore_index" "vectors" {
  project     = var.project
  database    = google_firestore_database.store.name
  collection  = "vectors"
  query_scope = "COLLECTION"

  fields {
    field_path = "tenant"
    order      = "ASCENDING"
  }

  fields {
    field_path = "__name__"
    order      = "ASCENDING"
  }

  fields {
    field_path = "embedding"

    vector_config {
      dimension = var.vector_dimension
      flat {}
    }
  }
}

# Fields that are only carried have no index; some name the moment from which a document is rubbish.
# Firestore removes those within a day or so: housekeeping, never the promise.
resource "google_firestore_field" "field" {
  for_each = { for one in local.firestore.fieldOverrides : "${one.collectionGroup}.${one.fieldPath}" => one }

  project    = var.project
  database   = google_firestore_database.store.name
  collection = each.value.collectionGroup
  field      = each.value.fieldPath

  index_config {}

  dynamic "ttl_config" {
    for_each = try(each.value.ttl, false) ? [1] : []
    content {}
  }
}

# Firestore's roles are the project's; the condition makes each the right to this one database.
resource "google_project_iam_member" "firestore" {
  for_each = toset(["deliver", "gateway", "on_announcement", "on_audio_uploaded", "reconcile", "retire", "seal", "service"])

  project = var.project
  role    = "roles/datastore.user"
  member  = local.members[each.key]

  condition {
    title      = "${google_firestore_database.store.name} only"
    expression = "resource.name == \"projects/${var.project}/databases/${google_firestore_database.store.name}\""
  }
}
