
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
I
7type.googleapis.com/gatehouse.config.v1.ProviderTrusted
jira
corp
I
7type.googleapis.com/gatehouse.config.v1.ProviderTrusted
jira
okta
J
:type.googleapis.com/gatehouse.config.v1.ProviderDistrusted
jiracorp
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden