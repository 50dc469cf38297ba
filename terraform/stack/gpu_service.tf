# The GPU service: takes tickets, hears, answers the gateway. From inside only, and only for who
# has an identity here. Without a GPU (`gpu = null`) the same service on CPUs.

locals {
  # What each kind of instance demands at least; an L4 is content with this for one GPU.
  # Source: Cloud Run, "Configure GPUs for services": CPU and memory.
  machines = {
    cpu                 = { cpu = "4", memory = "8Gi" }
    nvidia-l4           = { cpu = "4", memory = "16Gi" }
    nvidia-rtx-pro-6000 = { cpu = "20", memory = "80Gi" }
  }
  accelerator = try(var.gpu.accelerator, null)
  machine     = local.machines[coalesce(local.accelerator, "cpu")]

  # Jobs an instance works on, live streams it holds, and room for calls that wait on the line.
  slots   = 8
  streams = 32
  calls   = 24

  # Tickets and streams of one service share its concurrency, and Cloud Run adds an instance when
  # 60 % of it is taken: jobs alone then never do, for a full instance sends tickets away. The low
  # service of two takes tickets only, so that a backlog brings instances.
  roles = {
    one  = { concurrency = local.slots + local.streams + local.calls, streams = local.streams }
    high = { concurrency = local.slots + local.streams + local.calls, streams = local.streams }
    low  = { concurrency = local.slots + 4, streams = 1 }
  }

  # By the lanes they take; local.lane_service in pubsub.tf asks for these names.
  services = {
    for role in var.images == null ? [] : try(var.gpu.services, "one") == "one" ? ["one"] : ["high", "low"] :
    role => merge(local.roles[role], {
      # The high lane's is the one that people wait for.
      min_instances = role == "low" ? 0 : var.high_min_instances
      name          = role == "one" ? "${var.name}-service" : "${var.name}-service-${role}"
    })
  }

  # Whisper on the GPU, where there is one; int8 is what its calibration was fitted for.
  engines = merge(
    local.accelerator == null ? {} : { whisper = { kind = "whisper", device = "cuda", dtype = "int8" } },
    var.engines,
  )
}

module "service" {
  for_each = local.services
  source   = "../modules/run_service"

  audiences         = [local.audience]
  concurrency       = each.value.concurrency
  cpu               = local.machine.cpu
  cpu_idle          = false # its threads work beside requests; a GPU cannot be had otherwise
  delete_protection = var.delete_protection
  gpu               = local.accelerator == null ? null : { accelerator = local.accelerator, zonal_redundancy = var.zonal_redundancy }
  identity          = google_service_account.service.email
  image             = var.images.service
  ingress           = "INGRESS_TRAFFIC_INTERNAL_ONLY"
  kms_key_name      = local.kms_key
  max_instances     = try(var.gpu.max_instances, 3)
  memory            = local.machine.memory
  min_instances     = each.value.min_instances
  name              = each.value.name
  network           = local.egress
  project           = var.project
  project_number    = var.project_number
  region            = var.region
  timeout_s         = 3600 # a stream may last as long; a ticket answers within 480 s by itself

  # Engines load at their first call, so a start takes seconds, and readiness waits for none.
  probes = { started = "/readyz", alive = "/livez", start_s = 120 }

  environment = merge(
    local.environment,
    local.callers,
    { for task, names in var.cascade : "EARWITNESS_CASCADE__${upper(task)}" => jsonencode(names) },
    {
      EARWITNESS_ENGINES = jsonencode(local.engines)
      EARWITNESS_SLOTS   = tostring(local.slots)
      EARWITNESS_STREAMS = tostring(each.value.streams)
      EARWITNESS_WEIGHTS = "/weights"
    },
  )
  secrets = var.openai ? { EARWITNESS_OPENAI_API_KEY = google_secret_manager_secret.openai_api_key.id } : {}
  weights = { bucket = google_storage_bucket.weights.name, path = "/weights" }

  invokers = {
    gateway  = local.identities.gateway
    operator = local.identities.operator
    push     = google_service_account.push.member
  }

  depends_on = [
    google_secret_manager_secret_iam_member.openai_api_key,
    google_storage_bucket_iam_member.weights_service,
  ]
}

locals {
  # Whose tokens the service believes; it verifies each itself, beside Cloud Run.
  callers = {
    EARWITNESS_GATEWAY_EMAIL    = google_service_account.gateway.email
    EARWITNESS_GATEWAY_SUBJECT  = google_service_account.gateway.unique_id
    EARWITNESS_OPERATOR_EMAIL   = google_service_account.operator.email
    EARWITNESS_OPERATOR_SUBJECT = google_service_account.operator.unique_id
    EARWITNESS_PUSH_AUDIENCE    = local.audience
    EARWITNESS_PUSH_EMAIL       = google_service_account.push.email
    EARWITNESS_PUSH_SUBJECT     = google_service_account.push.unique_id
  }
}
