# What is off by default, on: each by itself, and all at once. One stack is looked into; what belongs
# to the project is looked at from the root.

mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "4711" }
  }
}

variables {
  alert_emails       = []
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
  images = {
    service = "images/service@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    gateway = "images/gateway@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
  }
  measurements_days = 400
  audit             = { retention_days = 400, locked = false }
  name              = "ew"
  openai            = false
  project           = "my-recordings-4711"
  project_number    = "4711"
  region            = "europe-west4"
  soft_delete_s     = 604800
  tenants           = {}
  vector_dimension  = 1536
  viewers           = ["group:listeners@example.com"]
  vpc               = false
  zonal_redundancy  = false
}

run "by_default_nothing_of_it_is_there" {
  command = plan

  module {
    source = "./stack"
  }

  assert {
    condition     = length(google_compute_global_forwarding_rule.https) + length(google_compute_security_policy.edge) + length(google_compute_global_address.edge) == 0
    error_message = "There is a load balancer that nobody asked for; it costs about 25 USD a month."
  }
  assert {
    condition     = local.kms_key == null && length(google_kms_crypto_key.stack) + length(google_eventarc_google_channel_config.stack) == 0
    error_message = "There is a key that nobody asked for."
  }
  assert {
    condition     = length(google_compute_router_nat.out) + length(google_compute_address.out) + length(google_compute_route.out) == 0
    error_message = "There is a way out through NAT that nobody asked for."
  }
  assert {
    condition     = length(google_monitoring_alert_policy.alert) == 0
    error_message = "There are alerts that nobody hears."
  }
}

run "the_gateway_calls_the_service_from_inside" {
  command = plan

  module {
    source = "./stack"
  }

  # Without a network the service answers 404 to it; the whole default would not work.
  assert {
    condition     = local.network.egress == "PRIVATE_RANGES_ONLY" && google_compute_subnetwork.stack.private_ip_google_access
    error_message = "Calls of the gateway do not count as inside."
  }
  assert {
    condition     = google_dns_managed_zone.run.dns_name == "run.app." && google_dns_managed_zone.run.visibility == "private" && google_dns_record_set.run.name == "*.run.app."
    error_message = "Inside, run.app does not lead through the network."
  }
  assert {
    condition     = alltrue([for one in google_dns_record_set.run.rrdatas : cidrhost("${one}/30", 0) == cidrhost(google_compute_route.google.dest_range, 0)])
    error_message = "There is no route to where run.app leads."
  }
  assert {
    condition     = google_compute_network.stack.delete_default_routes_on_create && !google_compute_network.stack.auto_create_subnetworks
    error_message = "The network leads elsewhere, too."
  }
  assert {
    condition     = local.egress == null
    error_message = "The service and functions need no network by default."
  }
}

run "with_vpc_one_way_leads_out" {
  command = apply

  module {
    source = "./stack"
  }

  variables {
    vpc = true
  }

  assert {
    condition     = local.network.egress == "ALL_TRAFFIC" && local.egress == local.network
    error_message = "Not everything that is called goes through the network."
  }
  assert {
    condition     = google_compute_router_nat.out[0].nat_ip_allocate_option == "MANUAL_ONLY" && google_compute_router_nat.out[0].nat_ips == toset([google_compute_address.out[0].self_link])
    error_message = "Calls do not come from the one address that others allow."
  }
  assert {
    condition     = one(google_compute_firewall.nothing_else[0].deny).protocol == "all" && google_compute_firewall.nothing_else[0].direction == "EGRESS"
    error_message = "What is not allowed is not refused."
  }
  assert {
    condition     = one(google_compute_firewall.tls[0].allow).ports == tolist(["443"]) && google_compute_firewall.tls[0].priority < google_compute_firewall.nothing_else[0].priority
    error_message = "TLS does not get out before everything is refused."
  }
}

run "with_cmek_every_agent_may_use_the_key_first" {
  command = apply

  module {
    source = "./stack"
  }

  variables {
    cmek = true
  }

  assert {
    condition = toset([for one in google_kms_crypto_key_iam_member.agent : one.member]) == toset([
      "serviceAccount:bq-4711@bigquery-encryption.iam.gserviceaccount.com",
      "serviceAccount:service-4711@gcf-admin-robot.iam.gserviceaccount.com",
      "serviceAccount:service-4711@gcp-sa-artifactregistry.iam.gserviceaccount.com",
      "serviceAccount:service-4711@gcp-sa-eventarc.iam.gserviceaccount.com",
      "serviceAccount:service-4711@gcp-sa-firestore.iam.gserviceaccount.com",
      "serviceAccount:service-4711@gcp-sa-pubsub.iam.gserviceaccount.com",
      "serviceAccount:service-4711@gcp-sa-secretmanager.iam.gserviceaccount.com",
      "serviceAccount:service-4711@gs-project-accounts.iam.gserviceaccount.com",
      "serviceAccount:service-4711@serverless-robot-prod.iam.gserviceaccount.com",
    ])
    error_message = "An agent that encrypts may not use the key."
  }
  assert {
    condition     = alltrue([for one in google_kms_crypto_key_iam_member.agent : one.role == "roles/cloudkms.cryptoKeyEncrypterDecrypter"])
    error_message = "An agent may do more or less with the key than encrypt and decrypt."
  }
  assert {
    condition     = google_kms_crypto_key.stack[0].rotation_period == "${90 * 24 * 3600}s" && google_kms_key_ring.stack[0].location == var.region
    error_message = "The key is not renewed every 90 days, or lies elsewhere than what it encrypts."
  }
  assert {
    condition     = local.kms_key == google_kms_crypto_key.stack[0].id
    error_message = "What is handed on is not the key."
  }
  assert {
    condition = alltrue([
      for bucket in [
        google_storage_bucket.archive, google_storage_bucket.functions, google_storage_bucket.results,
        google_storage_bucket.temp, google_storage_bucket.uploads, google_storage_bucket.weights,
      ] :
      bucket.encryption[0].default_kms_key_name == local.kms_key
    ])
    error_message = "A bucket is encrypted with a key of Google's."
  }
  assert {
    condition     = alltrue([for topic in google_pubsub_topic.topic : topic.kms_key_name == local.kms_key])
    error_message = "A topic is encrypted with a key of Google's."
  }
  assert {
    condition     = google_firestore_database.store.cmek_config[0].kms_key_name == local.kms_key && google_bigquery_dataset.measurements.default_encryption_configuration[0].kms_key_name == local.kms_key
    error_message = "The store or the measurements are encrypted with a key of Google's."
  }
  assert {
    condition     = google_artifact_registry_repository.images.kms_key_name == local.kms_key && google_artifact_registry_repository.functions.kms_key_name == local.kms_key
    error_message = "Images are encrypted with a key of Google's."
  }
  assert {
    condition     = google_secret_manager_secret.openai_api_key.replication[0].user_managed[0].replicas[0].customer_managed_encryption[0].kms_key_name == local.kms_key
    error_message = "A secret is encrypted with a key of Google's."
  }
  assert {
    condition     = google_eventarc_google_channel_config.stack[0].crypto_key_name == local.kms_key
    error_message = "Events on their way are encrypted with a key of Google's."
  }
}

run "with_edge_there_is_one_door" {
  command = apply

  module {
    source = "./stack"
  }

  variables {
    edge = {
      domain              = "ears.example.com"
      allow               = [for n in range(11) : "10.0.${n}.0/24"]
      requests_per_minute = 60
    }
  }

  assert {
    condition     = google_compute_ssl_policy.edge[0].min_tls_version == "TLS_1_3" && google_compute_ssl_policy.edge[0].profile == "RESTRICTED"
    error_message = "Something older than TLS 1.3 is spoken."
  }
  assert {
    condition     = google_compute_target_https_proxy.gateway[0].ssl_policy == google_compute_ssl_policy.edge[0].id && google_compute_target_https_proxy.gateway[0].tls_early_data == "DISABLED"
    error_message = "The policy is not the door's."
  }
  assert {
    condition     = google_compute_managed_ssl_certificate.edge[0].managed[0].domains == tolist(["ears.example.com"])
    error_message = "The certificate is for another name."
  }
  assert {
    condition     = google_compute_backend_service.gateway[0].security_policy == google_compute_security_policy.edge[0].id
    error_message = "Nobody stands at the door."
  }
  assert {
    condition     = [for one in google_compute_security_policy.edge[0].rule : one.action if one.priority == 2147483647 && one.match[0].config[0].src_ip_ranges == toset(["*"])] == ["deny(403)"]
    error_message = "Who is not named is let in."
  }
  assert {
    condition     = toset(flatten([for one in google_compute_security_policy.edge[0].rule : tolist(one.match[0].config[0].src_ip_ranges) if one.action == "throttle"])) == var.edge.allow
    error_message = "Those let in are not those that are named."
  }
  assert {
    condition     = alltrue([for one in google_compute_security_policy.edge[0].rule : length(one.match[0].config[0].src_ip_ranges) <= 10])
    error_message = "A rule has more networks than Cloud Armor takes."
  }
  assert {
    condition = alltrue([
      for one in google_compute_security_policy.edge[0].rule :
      one.rate_limit_options[0].exceed_action == "deny(429)" && one.rate_limit_options[0].enforce_on_key == "IP" && one.rate_limit_options[0].rate_limit_threshold[0].count == 60 && one.rate_limit_options[0].rate_limit_threshold[0].interval_sec == 60
      if one.action == "throttle"
    ])
    error_message = "Requests of an address are not counted."
  }
  assert {
    condition     = google_compute_url_map.to_https[0].default_url_redirect[0].https_redirect && google_compute_target_http_proxy.to_https[0].url_map == google_compute_url_map.to_https[0].id
    error_message = "Port 80 does not lead to https."
  }
  assert {
    condition     = google_compute_region_network_endpoint_group.gateway[0].cloud_run[0].service == "ew-gateway" && google_compute_region_network_endpoint_group.gateway[0].region == var.region
    error_message = "The door leads elsewhere than to the gateway."
  }
  assert {
    condition     = output.addresses.page == "https://ears.example.com/" && output.addresses.door == google_compute_global_address.edge[0].address
    error_message = "The output does not say where the door is."
  }
}

run "before_the_first_images_there_is_nothing_to_have_a_door_for" {
  command = plan

  module {
    source = "./stack"
  }

  variables {
    edge   = { domain = "ears.example.com", allow = ["192.0.2.0/24"], requests_per_minute = 60 }
    images = null
  }

  assert {
    condition     = length(google_compute_global_forwarding_rule.https) + length(google_compute_global_address.edge) == 0
    error_message = "A load balancer is paid for before there is a gateway."
  }
}

run "who_is_told_is_told_of_everything" {
  command = apply

  module {
    source = "./stack"
  }

  variables {
    channels = ["projects/my-recordings-4711/notificationChannels/1"]
  }

  assert {
    condition     = toset(keys(google_monitoring_alert_policy.alert)) == toset(["dead", "errors", "functions", "late", "long", "slow"])
    error_message = "An alert is missing."
  }
  assert {
    condition     = sum([for one in google_monitoring_alert_policy.alert : length(one.conditions)]) == 7
    error_message = "The description of alert_emails says seven conditions."
  }
  assert {
    condition     = alltrue([for one in google_monitoring_alert_policy.alert : length(one.documentation[0].content) > 80 && one.notification_channels == tolist(var.channels)])
    error_message = "An alert does not say what to do, or to nobody."
  }
  assert {
    condition     = google_monitoring_alert_policy.alert["errors"].severity == "CRITICAL" && google_monitoring_alert_policy.alert["errors"].conditions[0].condition_threshold[0].threshold_value == 0.05 && google_monitoring_alert_policy.alert["errors"].conditions[0].condition_threshold[0].duration == "300s"
    error_message = "More than 5 % of errors for 5 minutes are critical (DESIGN.md, section 10)."
  }
  assert {
    condition     = google_monitoring_alert_policy.alert["slow"].conditions[0].condition_threshold[0].threshold_value == 2000 && google_monitoring_alert_policy.alert["long"].conditions[0].condition_threshold[0].threshold_value == 500
    error_message = "p95 is told of above 2 s, a queue above 500."
  }
  # Names in the filters are those of what is watched.
  assert {
    condition     = strcontains(google_monitoring_alert_policy.alert["dead"].conditions[0].condition_threshold[0].filter, "\"${google_pubsub_subscription.jobs_dead.name}\"") && strcontains(google_monitoring_alert_policy.alert["dead"].conditions[0].condition_threshold[0].filter, "\"${google_pubsub_subscription.undelivered.name}\"")
    error_message = "Dead letters lie elsewhere than where the alert looks."
  }
  assert {
    condition     = alltrue([for lane in module.lane : strcontains(google_monitoring_alert_policy.alert["long"].conditions[0].condition_threshold[0].filter, "\"${lane.subscription}\"") && anytrue([for one in google_monitoring_alert_policy.alert["late"].conditions : strcontains(one.condition_threshold[0].filter, "\"${lane.subscription}\"")])])
    error_message = "A lane is not watched."
  }
  assert {
    condition     = alltrue([for one in module.function : strcontains(google_monitoring_alert_policy.alert["functions"].conditions[0].condition_threshold[0].filter, "\"${one.name}\"")])
    error_message = "A function is not watched."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.alert["errors"].conditions[0].condition_threshold[0].filter, "\"${module.gateway["door"].name}\"")
    error_message = "The gateway is not watched."
  }
}

run "everything_at_once_in_two_regions" {
  command = apply

  variables {
    alert_emails       = ["ops@example.com", "oncall@example.com"]
    budget             = { billing_account = "01ABCD-EF0123-456789", amount = 100 }
    cmek               = true
    edge               = { domain = "ears.example.com", allow = ["192.0.2.0/24"] }
    high_min_instances = 1
    regions            = { us = { region = "us-east4" } }
    vpc                = true
    zonal_redundancy   = true
  }

  assert {
    condition     = [for key in ["home", "us"] : output.stacks[key].page] == ["https://ears.example.com/", "https://us.ears.example.com/"]
    error_message = "The stacks do not have a door each."
  }
  assert {
    condition     = google_billing_budget.project[0].budget_filter[0].projects == toset(["projects/4711"]) && google_billing_budget.project[0].amount[0].specified_amount[0].units == "100"
    error_message = "The budget is not this project's."
  }
  assert {
    condition     = toset([for one in google_billing_budget.project[0].threshold_rules : "${one.threshold_percent} ${one.spend_basis}"]) == toset(["0.5 CURRENT_SPEND", "0.9 CURRENT_SPEND", "1 CURRENT_SPEND", "1 FORECASTED_SPEND"])
    error_message = "The budget warns at other shares."
  }
  assert {
    condition     = length(google_billing_budget.project[0].all_updates_rule[0].monitoring_notification_channels) == 2
    error_message = "The budget warns nobody."
  }
  assert {
    condition     = toset([for one in google_monitoring_notification_channel.email : one.labels.email_address]) == var.alert_emails
    error_message = "Others are told than were named."
  }
  assert {
    condition     = length(google_workload_identity_service_agent.agent) == 8 && length(google_project_iam_member.agent) == 6
    error_message = "An agent is not made before it is given a role, or lacks its own."
  }
}

run "what_is_written_down" {
  command = apply

  assert {
    condition = toset(keys(google_project_iam_audit_config.data)) == toset([
      "cloudkms.googleapis.com", "datastore.googleapis.com", "iap.googleapis.com", "run.googleapis.com",
      "secretmanager.googleapis.com", "storage.googleapis.com",
    ])
    error_message = "Reads and writes of something are not written down."
  }
  assert {
    condition     = alltrue([for kind in google_project_iam_audit_config.data["storage.googleapis.com"].audit_log_config : length(coalesce(kind.exempted_members, [])) == 0])
    error_message = "Somebody reads recordings and is not written down."
  }
  assert {
    condition     = alltrue([for kind in google_project_iam_audit_config.data["datastore.googleapis.com"].audit_log_config : length(coalesce(kind.exempted_members, [])) == (kind.log_type == "ADMIN_READ" ? 0 : length(module.stack["home"].workloads))])
    error_message = "Our workloads' traffic in the store is written down, or more is left out than that."
  }
  assert {
    condition     = length(google_billing_budget.project) + length(google_monitoring_notification_channel.email) == 0
    error_message = "Something warns that nobody asked for."
  }
}
