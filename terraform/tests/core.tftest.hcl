# Buckets, queues, store, functions and measurements under each set of variables. No provider answers
# here, so it runs anywhere; tests/terraform looks at the same through plan and state.

mock_provider "google" {}

variables {
  # Of the whole.
  prefix  = "ew"
  project = "my-recordings-4711"
  region  = "europe-west4"
  viewers = ["group:listeners@example.com"]

  # Of one stack, where a run looks into that alone.
  archive            = { path = "../dist/functions.zip", name = "functions-0123.zip" }
  archive_after_days = 30
  cascade            = {}
  channels           = []
  cmek               = false
  delete_protection  = true
  edge               = null
  engines            = {}
  gpu                = { accelerator = "nvidia-l4", services = "one", max_instances = 3 }
  high_min_instances = 0
  images             = null
  measurements_days  = 400
  audit              = { retention_days = 400, locked = false }
  name               = "ew"
  openai             = false
  project_number     = "123456789012"
  soft_delete_s      = 604800
  tenants            = {}
  vector_dimension   = 1536
  vpc                = false
  zonal_redundancy   = false
}

# --- one stack --------------------------------------------------------------------------------------

run "before_the_first_images_nothing_is_pushed" {
  command = plan

  module {
    source = "./stack"
  }

  assert {
    condition     = alltrue([for lane in module.lane : lane.subscription == null])
    error_message = "A lane's subscription would gather tickets that nobody takes."
  }

  assert {
    condition     = length(module.service) + length(module.gateway) == 0
    error_message = "There is a service without an image."
  }
}

run "every_listed_function_is_there_and_its_clock_ticks" {
  command = plan

  module {
    source = "./stack"
  }

  assert {
    condition     = { for name, one in module.function : name => one.name } == { for name in keys(jsondecode(file("../functions/functions.json"))) : name => "ew-${replace(name, "_", "-")}" }
    error_message = "The functions are not those of functions/functions.json."
  }

  assert {
    condition     = { for name, job in google_cloud_scheduler_job.tick : name => job.schedule } == { for name in ["deliver", "reconcile", "retire", "seal"] : name => "* * * * *" }
    error_message = "A function that listens to ticks has no clock, or another rhythm."
  }

  assert {
    condition     = google_storage_bucket_object.functions.name == "functions-0123.zip"
    error_message = "The archive is not named by its content: a change of it would redeploy nothing."
  }
}

run "nothing_of_a_tenants_is_public_versioned_or_deleted_for_good_at_once" {
  command = plan

  module {
    source = "./stack"
  }

  assert {
    condition = alltrue([
      for bucket in [
        google_storage_bucket.archive, google_storage_bucket.functions, google_storage_bucket.results,
        google_storage_bucket.temp, google_storage_bucket.uploads,
      ] :
      bucket.uniform_bucket_level_access && bucket.public_access_prevention == "enforced" && lower(bucket.location) == "europe-west4"
    ])
    error_message = "A bucket could be opened to everybody, or lies elsewhere."
  }

  assert {
    condition = alltrue([
      for bucket in [google_storage_bucket.archive, google_storage_bucket.results, google_storage_bucket.uploads] :
      !one(bucket.versioning).enabled && one(bucket.soft_delete_policy).retention_duration_seconds == 604800
    ])
    error_message = "What is erased is not gone after 7 days, or cannot be restored before."
  }

  assert {
    condition     = anytrue([for rule in google_storage_bucket.temp.lifecycle_rule : one(rule.action).type == "Delete" && one(rule.condition).age == 1])
    error_message = "Temporary files outlive a day."
  }

  assert {
    condition     = one(google_storage_bucket.temp.soft_delete_policy).retention_duration_seconds == 0
    error_message = "Temporary files are kept for a week after they were deleted."
  }

  # A rewrite is a new generation, which would be heard as a new recording.
  assert {
    condition     = alltrue([for rule in google_storage_bucket.uploads.lifecycle_rule : contains(["SetStorageClass", "AbortIncompleteMultipartUpload"], one(rule.action).type)])
    error_message = "The uploads' lifecycle does more than change classes: retention is `retire`'s."
  }
}

run "what_was_deleted_is_kept_as_long_as_was_said_and_receipts_state_it" {
  command = plan

  module {
    source = "./stack"
  }

  variables {
    soft_delete_s = 7776000
  }

  assert {
    condition = alltrue([
      for bucket in [google_storage_bucket.archive, google_storage_bucket.results, google_storage_bucket.uploads] :
      one(bucket.soft_delete_policy).retention_duration_seconds == 7776000
    ])
    error_message = "A bucket keeps what was deleted for another time."
  }

  assert {
    condition     = local.remembered_days == { buckets = 90, database = 7, logs = 30, measurements = 9, messages = 14 }
    error_message = "Something keeps what was erased for other days than its own resource says."
  }

  assert {
    condition     = local.environment["EARWITNESS_OUTER_BOUND_DAYS"] == "90"
    error_message = "A receipt would promise less than buckets keep."
  }
}

run "logs_outlive_buckets_that_keep_nothing" {
  command = plan

  module {
    source = "./stack"
  }

  variables {
    soft_delete_s = 0
  }

  assert {
    condition     = one(google_storage_bucket.uploads.soft_delete_policy).retention_duration_seconds == 0 && local.environment["EARWITNESS_OUTER_BOUND_DAYS"] == "30"
    error_message = "Uploads are kept behind, or a receipt forgets the logs."
  }
}

run "seals_are_kept_as_long_as_was_said" {
  command = plan

  module {
    source = "./stack"
  }

  variables {
    audit = { retention_days = 30, locked = true }
  }

  assert {
    condition     = one(google_storage_bucket.audit.retention_policy).retention_period == "2592000" && one(google_storage_bucket.audit.retention_policy).is_locked
    error_message = "A seal can be deleted before its time, or the lock was forgotten."
  }

  assert {
    condition     = alltrue([for one in google_storage_bucket_iam_member.audit : contains(["roles/storage.objectCreator", "roles/storage.objectViewer"], one.role)])
    error_message = "Somebody who works here may replace or delete a seal."
  }
}

run "protected_data_refuses_to_be_destroyed" {
  command = plan

  module {
    source = "./stack"
  }

  assert {
    condition = alltrue([
      for bucket in [google_storage_bucket.archive, google_storage_bucket.results, google_storage_bucket.uploads] :
      bucket.deletion_policy == "PREVENT" && !bucket.force_destroy
    ])
    error_message = "terraform destroy would take recordings or results."
  }

  assert {
    condition     = google_firestore_database.store.deletion_policy == "PREVENT" && google_firestore_database.store.delete_protection_state == "DELETE_PROTECTION_ENABLED"
    error_message = "terraform destroy would take the store."
  }

  assert {
    condition     = google_bigquery_table.inference_metrics.deletion_protection && !google_bigquery_dataset.measurements.delete_contents_on_destroy
    error_message = "terraform destroy would take the measurements."
  }
}

run "without_protection_destroy_leaves_nothing_that_costs" {
  command = plan

  module {
    source = "./stack"
  }

  variables {
    delete_protection = false
  }

  assert {
    condition = alltrue([
      for bucket in [
        google_storage_bucket.archive, google_storage_bucket.functions, google_storage_bucket.results,
        google_storage_bucket.temp, google_storage_bucket.uploads,
      ] :
      bucket.force_destroy && one(bucket.soft_delete_policy).retention_duration_seconds == 0 && bucket.deletion_policy != "PREVENT"
    ])
    error_message = "A bucket stays, or what was in it is billed for another week."
  }

  assert {
    condition     = google_firestore_database.store.deletion_policy == "DELETE" && google_firestore_database.store.delete_protection_state == "DELETE_PROTECTION_DISABLED"
    error_message = "The store would be left behind."
  }

  assert {
    condition     = !google_bigquery_table.inference_metrics.deletion_protection && google_bigquery_dataset.measurements.delete_contents_on_destroy
    error_message = "The measurements would be left behind."
  }
}

run "every_subscription_ends_in_dead_letters_and_never_expires" {
  command = plan

  module {
    source = "./stack"
  }

  assert {
    condition = alltrue([
      for one in [google_pubsub_subscription.inference_metrics, google_pubsub_subscription.jobs_dead, google_pubsub_subscription.upload_arrivals] :
      one(one.dead_letter_policy).max_delivery_attempts == 100
    ])
    error_message = "A subscription has no dead letters, or gives up before 100 deliveries."
  }

  assert {
    condition = alltrue([
      for one in [
        google_pubsub_subscription.inference_metrics, google_pubsub_subscription.jobs_dead,
        google_pubsub_subscription.undelivered, google_pubsub_subscription.upload_arrivals,
      ] :
      one(one.expiration_policy).ttl == "" && one(one.retry_policy).minimum_backoff == "10s" && one(one.retry_policy).maximum_backoff == "600s" && one.message_retention_duration == "604800s"
    ])
    error_message = "A subscription expires, does not back off, or keeps less than 7 days."
  }

  assert {
    condition     = one(google_pubsub_subscription.inference_metrics.bigquery_config).use_table_schema && !one(google_pubsub_subscription.inference_metrics.bigquery_config).drop_unknown_fields
    error_message = "A measurement could be cut to fit its table."
  }
}

run "the_store_has_the_codes_indexes" {
  command = plan

  module {
    source = "./stack"
  }

  assert {
    condition = toset([
      for one in google_firestore_index.index :
      join(" ", concat([one.collection, one.query_scope], [for field in one.fields : "${field.field_path}:${field.array_config == null ? field.order : field.array_config}"]))
      ]) == toset([
      for one in jsondecode(file("../shared/adapters/gcp/firestore_indexes.json")).indexes :
      join(" ", concat([one.collectionGroup, one.queryScope], [for field in one.fields : "${field.fieldPath}:${try(field.order, field.arrayConfig)}"]))
    ])
    error_message = "The store's indexes are not those the code names."
  }

  assert {
    condition     = toset([for field in google_firestore_field.field : "${field.collection}.${field.field}" if length(field.ttl_config) == 1]) == toset(["calls.expires", "days.expires", "segments.expires", "slices.expires"])
    error_message = "Other fields say when a document is rubbish than the code writes."
  }

  assert {
    condition     = google_firestore_index.vectors.fields[0].field_path == "tenant" && one(google_firestore_index.vectors.fields[2].vector_config).dimension == 1536
    error_message = "Vectors are not searched within one tenant, or have another length."
  }

  assert {
    condition     = google_firestore_database.store.point_in_time_recovery_enablement == "POINT_IN_TIME_RECOVERY_ENABLED"
    error_message = "The store cannot be restored to a minute."
  }
}

run "measurements_expire_by_the_day_they_were_made" {
  command = plan

  module {
    source = "./stack"
  }

  assert {
    condition     = one(google_bigquery_table.inference_metrics.time_partitioning).field == "at" && one(google_bigquery_table.inference_metrics.time_partitioning).expiration_ms == 34560000000
    error_message = "Measurements are not kept for 400 days from the day they were made."
  }

  assert {
    condition     = endswith(google_bigquery_table.measurements.view[0].query, "QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY at) = 1\n") && strcontains(google_bigquery_table.measurements.view[0].query, "`my-recordings-4711.ew_measurements.inference_metrics`")
    error_message = "The view reads another table, or does not drop doubles."
  }
}

run "a_tenant_has_its_tier_and_its_writers_may_only_create_in_its_folder" {
  command = plan

  module {
    source = "./stack"
  }

  variables {
    tenants = { acme = { tier = "pro", writers = ["serviceAccount:drops@acme-1.iam.gserviceaccount.com", "group:field@acme.example"] }, quiet = { tier = "free", writers = [] } }
  }

  assert {
    condition     = { for tenant, one in google_storage_managed_folder.tenant : tenant => one.name } == { acme = "uploads/acme/" }
    error_message = "The folder is not the tenant's, or a tenant without writers has one."
  }

  assert {
    condition     = jsondecode(local.function_settings["reconcile"].EARWITNESS_TENANTS) == { acme = "pro", quiet = "free" }
    error_message = "`reconcile` makes other tenants, or in another tier."
  }

  assert {
    condition     = { for one in google_storage_managed_folder_iam_member.tenant : one.member => one.role } == { "serviceAccount:drops@acme-1.iam.gserviceaccount.com" = "roles/storage.objectCreator", "group:field@acme.example" = "roles/storage.objectCreator" }
    error_message = "Somebody else may write there, or may do more than create."
  }
}

run "an_archive_that_was_not_made_is_said" {
  command = plan

  module {
    source = "./stack"
  }

  variables {
    archive = { path = "../dist/functions.zip", name = "" }
  }

  expect_failures = [google_storage_bucket_object.functions]
}

# --- with services ----------------------------------------------------------------------------------

run "one_service_takes_both_lanes" {
  command = plan

  module {
    source = "./stack"
  }

  variables {
    images = {
      service = "europe-west4-docker.pkg.dev/my-recordings-4711/ew-images/service@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      gateway = "europe-west4-docker.pkg.dev/my-recordings-4711/ew-images/gateway@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    }
  }

  assert {
    condition     = local.lane_service == { high = "one", low = "one" } && { for lane, one in module.lane : lane => one.subscription } == { high = "ew-lane-high", low = "ew-lane-low" }
    error_message = "A lane has no subscription, or tickets go to a service that is not there."
  }
}

run "each_lane_has_its_own_of_two_services" {
  command = plan

  module {
    source = "./stack"
  }

  variables {
    gpu = { accelerator = "nvidia-l4", services = "two", max_instances = 1 }
    images = {
      service = "europe-west4-docker.pkg.dev/my-recordings-4711/ew-images/service@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      gateway = "europe-west4-docker.pkg.dev/my-recordings-4711/ew-images/gateway@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    }
  }

  assert {
    condition     = local.lane_service == { high = "high", low = "low" } && toset(keys(module.service)) == toset(["high", "low"])
    error_message = "The lanes share a service."
  }
}

run "without_a_gpu_the_lanes_are_heard_on_cpus" {
  command = plan

  module {
    source = "./stack"
  }

  variables {
    gpu = null
    images = {
      service = "europe-west4-docker.pkg.dev/my-recordings-4711/ew-images/service@sha256:0000000000000000000000000000000000000000000000000000000000000000"
      gateway = "europe-west4-docker.pkg.dev/my-recordings-4711/ew-images/gateway@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    }
  }

  assert {
    condition     = { for lane, one in module.lane : lane => one.subscription } == { high = "ew-lane-high", low = "ew-lane-low" }
    error_message = "Without a GPU nobody takes the tickets."
  }
}

run "with_a_key_everything_kept_is_encrypted_by_it" {
  command = plan

  module {
    source = "./stack"
  }

  variables {
    cmek = true
  }

  assert {
    condition = alltrue([
      for bucket in [
        google_storage_bucket.archive, google_storage_bucket.functions, google_storage_bucket.results,
        google_storage_bucket.temp, google_storage_bucket.uploads,
      ] :
      length(bucket.encryption) == 1
    ])
    error_message = "A bucket is encrypted with Google's key."
  }

  assert {
    condition     = length(google_firestore_database.store.cmek_config) == 1 && length(google_bigquery_table.inference_metrics.encryption_configuration) == 1 && length(google_bigquery_dataset.measurements.default_encryption_configuration) == 1
    error_message = "Store or measurements are encrypted with Google's key."
  }
}

# --- the modules ------------------------------------------------------------------------------------

run "a_pushed_queue_has_the_platform_policy" {
  command = plan

  module {
    source = "./modules/work_queue"
  }

  variables {
    agent             = "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    dead_letter_topic = "projects/my-recordings-4711/topics/ew-undelivered"
    kms_key_name      = null
    name              = "ew-lane-high"
    push              = { endpoint = "https://service.example/pubsub/tickets", service_account_email = "push@example.iam.gserviceaccount.com", audience = "earwitness" }
  }

  assert {
    condition     = one(one(google_pubsub_subscription.queue[0].push_config).oidc_token) == { service_account_email = "push@example.iam.gserviceaccount.com", audience = "earwitness" }
    error_message = "Tickets would be pushed without a token, or with another's."
  }

  assert {
    condition     = google_pubsub_subscription.queue[0].ack_deadline_seconds == 600 && one(google_pubsub_subscription.queue[0].dead_letter_policy) == { dead_letter_topic = "projects/my-recordings-4711/topics/ew-undelivered", max_delivery_attempts = 100 }
    error_message = "A ticket has less than 600 s, or fewer than 100 deliveries."
  }

  assert {
    condition     = one(google_pubsub_subscription.queue[0].retry_policy) == { minimum_backoff = "10s", maximum_backoff = "600s" } && one(google_pubsub_subscription.queue[0].expiration_policy).ttl == ""
    error_message = "A ticket comes again at once, or the subscription expires."
  }

  assert {
    condition     = google_pubsub_subscription_iam_member.agent[0].role == "roles/pubsub.subscriber" && google_pubsub_subscription_iam_member.agent[0].member == var.agent
    error_message = "Pub/Sub's agent may not move what is undeliverable."
  }
}

run "a_function_runs_as_itself_and_is_tried_again" {
  command = plan

  module {
    source = "./modules/event_function"
  }

  variables {
    archive       = { bucket = "my-recordings-4711-ew-functions", object = "functions-0123.zip" }
    build         = { service_account = "projects/p/serviceAccounts/b@p.iam.gserviceaccount.com", repository = "projects/p/locations/europe-west4/repositories/ew-functions" }
    description   = "Does something."
    environment   = { EARWITNESS_BACKEND = "gcp" }
    kms_key_name  = null
    max_instances = 1
    memory_mb     = 512
    name          = "on_audio_uploaded"
    network       = null
    timeout_s     = 60
    trigger       = { event_type = "google.cloud.storage.object.v1.finalized", filters = { bucket = "my-recordings-4711-ew-uploads" } }
  }

  assert {
    condition     = google_cloudfunctions2_function.function.event_trigger[0].retry_policy == "RETRY_POLICY_RETRY" && google_cloudfunctions2_function.function.event_trigger[0].trigger_region == "europe-west4"
    error_message = "An event that failed would be lost, or is listened for elsewhere."
  }

  assert {
    condition     = google_cloudfunctions2_function.function.build_config[0].entry_point == "on_audio_uploaded" && google_cloudfunctions2_function.function.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    error_message = "It starts another function, or anybody may send it events."
  }

  assert {
    condition     = keys(google_project_iam_member.function) == ["roles/eventarc.eventReceiver", "roles/telemetry.tracesWriter"] && google_cloud_run_v2_service_iam_member.invoker.role == "roles/run.invoker"
    error_message = "It may do more or less in the project than receive events and write its traces."
  }
}

run "a_name_too_long_for_an_identity_is_said" {
  command = plan

  module {
    source = "./modules/event_function"
  }

  variables {
    archive       = { bucket = "b", object = "o" }
    build         = { service_account = "s", repository = "r" }
    description   = "Does something."
    environment   = {}
    kms_key_name  = null
    max_instances = 1
    memory_mb     = 512
    name          = "on_something_that_takes_long"
    network       = null
    timeout_s     = 60
    trigger       = { event_type = "google.cloud.pubsub.topic.v1.messagePublished", pubsub_topic = "t" }
  }

  expect_failures = [google_service_account.function]
}

run "a_function_cannot_be_given_more_than_540_s" {
  command = plan

  module {
    source = "./modules/event_function"
  }

  variables {
    archive       = { bucket = "b", object = "o" }
    build         = { service_account = "s", repository = "r" }
    description   = "Does something."
    environment   = {}
    kms_key_name  = null
    max_instances = 1
    memory_mb     = 512
    name          = "reconcile"
    network       = null
    timeout_s     = 541
    trigger       = { event_type = "google.cloud.pubsub.topic.v1.messagePublished", pubsub_topic = "t" }
  }

  expect_failures = [var.timeout_s]
}

# --- the whole --------------------------------------------------------------------------------------

run "a_first_apply_needs_three_variables" {
  command = plan

  assert {
    condition     = output.stacks["home"].drop == "gs://my-recordings-4711-ew-uploads/uploads/TENANT/"
    error_message = "It is not said where to drop recordings."
  }
}

run "apis_stay_on_when_everything_else_goes" {
  command = plan

  assert {
    condition     = alltrue([for api in google_project_service.api : !api.disable_on_destroy])
    error_message = "terraform destroy would switch off what others in the project use."
  }
}

run "a_second_region_has_everything_of_its_own" {
  command = plan

  variables {
    regions = { us = { region = "us-central1" } }
    tenants = { acme = { writers = ["group:field@acme.example"], stack = "us" } }
  }

  assert {
    condition     = { for key, one in output.stacks : key => one.drop } == { home = "gs://my-recordings-4711-ew-uploads/uploads/TENANT/", us = "gs://my-recordings-4711-ew-us-uploads/uploads/TENANT/" }
    error_message = "Recordings of two regions are dropped into one bucket, or the first region's was renamed."
  }
}

run "an_original_is_kept_as_it_came_where_that_was_said" {
  command = plan

  module {
    source = "./stack"
  }

  variables {
    archive_after_days = null
  }

  assert {
    condition     = local.environment["EARWITNESS_ARCHIVE_AFTER_DAYS"] == "null"
    error_message = "The workloads would not know that nothing is compressed, and take the default."
  }
}

run "an_original_is_flac_on_the_day_that_was_said" {
  command = plan

  module {
    source = "./stack"
  }

  assert {
    condition     = local.environment["EARWITNESS_ARCHIVE_AFTER_DAYS"] == "30"
    error_message = "The workloads are told another day."
  }

  # Before reading costs, and never billed for longer than it is kept.
  assert {
    condition     = google_storage_bucket.archive.storage_class == "COLDLINE" && { for rule in google_storage_bucket.archive.lifecycle_rule : one(rule.action).storage_class => one(rule.condition).age } == { ARCHIVE = 365 }
    error_message = "FLACs lie in a class that is billed for longer than they are kept at least."
  }
  assert {
    condition     = alltrue([for rule in google_storage_bucket.uploads.lifecycle_rule : one(rule.action).type != "SetStorageClass" || one(rule.condition).age > var.archive_after_days])
    error_message = "What is compressed by default is read from a class where reading costs."
  }
}

run "measurements_are_kept_for_whole_days" {
  command = plan

  variables {
    measurements_days = 0.5
  }

  expect_failures = [var.measurements_days]
}

run "vectors_are_no_longer_than_firestore_indexes" {
  command = plan

  variables {
    vector_dimension = 2049
  }

  expect_failures = [var.vector_dimension]
}
