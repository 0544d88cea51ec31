
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
Á
7type.googleapis.com/gatehouse.config.v1.ProviderTrusted…
jiraü
corpa namea kind"a issuer*a introspection_endpoint2a client_id:'
a refa fingerprint"a env*a fileBa caller_authJa scopeRa required_scopesZ
a audienceb 
a client_ida service_accountja service_accountra username_claimz˜*‚˜*ˆ
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden