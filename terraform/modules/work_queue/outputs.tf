output "subscription" {
  description = "Name of the subscription; null where nothing is pushed."
  value       = one(google_pubsub_subscription.queue[*].name)
}

output "topic" {
  description = "Name of the topic."
  value       = google_pubsub_topic.queue.name
}
